"""Who is signed in: names and passwords, the cookie, and how often one may try."""
