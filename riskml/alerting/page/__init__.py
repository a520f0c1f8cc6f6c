"""`riskml alerts ui`: the alert log as pages for people."""
