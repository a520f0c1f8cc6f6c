"""How a model does at work: metrics and dashboards (docs/monitoring.md), drift (docs/drift.md)."""
