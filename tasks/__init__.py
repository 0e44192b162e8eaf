"""The stages: ingest, check, analyze, notify. Each folder holds one `task.py` and plain modules beside it."""
