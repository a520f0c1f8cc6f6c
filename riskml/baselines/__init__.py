"""What ours is compared with: PyOD on the same windows, and scores that need no learning."""
