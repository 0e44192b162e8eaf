"""Recorded incidents, and how good a provider's answers about them are."""
