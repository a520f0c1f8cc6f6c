"""Detectors that learn a likelihood; one detector a file."""
