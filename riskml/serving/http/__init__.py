"""The HTTP service: events or windows in, risk, alert and reasons out."""
