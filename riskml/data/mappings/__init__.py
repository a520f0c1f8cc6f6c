"""Well-known log formats, each with its ready mapping onto events."""
