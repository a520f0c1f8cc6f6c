"""What the DAGs make, for each other and for DAGs of yours."""

from __future__ import annotations

from airflow.sdk import Asset

CHAMPION = Asset("riskml_champion", uri="x-riskml://bundles/champion", group="riskml")
"""The bundle at `<work>/bundles/current`."""

SCORES = Asset("riskml_scores", uri="x-riskml://database/riskml_scores", group="riskml")
"""Windows scored up to a day; the event has `until` and the job's summary."""

BACKTEST = Asset("riskml_backtest", uri="x-riskml://backtests", group="riskml")
