"""Against fooling oneself: what looks for cheats, leaks and traps; see docs/traps.md."""
