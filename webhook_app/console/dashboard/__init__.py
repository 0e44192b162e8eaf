"""The first page: its figures, charts and concerns."""
