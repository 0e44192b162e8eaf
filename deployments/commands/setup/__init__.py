"""`watchkeeper setup`: questions, and the document that their answers make."""
