"""The notify stage: what is said about an incident, and the channels it goes to."""
