"""From scores to people: what they are told, and what they answer."""
