"""From logs, wherever they are, to events: checked, mapped, and cut into periods."""
