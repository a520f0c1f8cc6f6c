"""Training again when the world moves: why, on what, and whether the new model takes over."""
