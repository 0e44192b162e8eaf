"""The form of each answer. No view reads them; tests hold what is answered against them."""
