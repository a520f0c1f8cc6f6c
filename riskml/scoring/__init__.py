"""Score → risk → alert, and the reasons in words."""
