"""An installation as one document: reading it, what differs from what is there, doing that, and writing it out."""
