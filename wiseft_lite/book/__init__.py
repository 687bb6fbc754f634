"""What only the book needs: its exercises, its experiments, and the record of their numbers."""
