"""What is missing or wrong for a role, before anything starts: `riskml config check`."""
