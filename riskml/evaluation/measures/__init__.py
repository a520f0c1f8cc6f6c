"""Metrics of scores, weighted, tie-aware, with their intervals."""
