"""What leaves the laboratory: a folder that a serving job loads."""
