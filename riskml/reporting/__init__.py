"""Weekly and monthly reports for auditors and management (docs/reports.md)."""
