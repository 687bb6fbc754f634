"""Tests of the built site in a real browser: ``make test-site``, after ``make book``."""
