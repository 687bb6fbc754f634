"""For the book only: exercises, experiments, claims, and the ledger of their numbers."""
