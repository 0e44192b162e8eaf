"""`watchkeeper run-pipeline`: what is to run, where it runs, and what is shown of it."""
