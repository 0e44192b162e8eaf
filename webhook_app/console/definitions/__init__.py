"""A definition's pages: to look at it, write it, try it and run it."""
