"""The receiver and its JSON API, on Flask. It imports no Prefect: webhooks are accepted without it."""
