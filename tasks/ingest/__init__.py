"""INGEST: from the bytes of a webhook to alerts and incidents."""
