"""Scores event by event: a stream, the state that it grows, and where its scores go."""
