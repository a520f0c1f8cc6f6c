"""Many settings of a detector tried one after the other or side by side, without labels."""
