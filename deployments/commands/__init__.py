"""What people type: one command after another, none of which imports what it does before it is asked to."""
