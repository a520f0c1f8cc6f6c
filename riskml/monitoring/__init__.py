"""What riskml tells of its own work: metrics, dashboards (docs/monitoring.md)."""
