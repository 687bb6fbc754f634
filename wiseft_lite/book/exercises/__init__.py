"""The checked exercises of the book: a module for each chapter, each with ``ALL``."""
