"""Merge several models into one: soups, task arithmetic, Fisher averaging, moving averages."""
