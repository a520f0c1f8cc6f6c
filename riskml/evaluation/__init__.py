"""How well a detector does, told without fooling the reader."""
