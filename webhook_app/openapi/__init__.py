"""The OpenAPI document: made from the app's routes, the views' docstrings and the models of their bodies."""
