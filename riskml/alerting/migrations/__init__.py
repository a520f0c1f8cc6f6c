"""Versions of the alert log's tables."""
