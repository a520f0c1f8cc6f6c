"""Alerts for people, as they are raised."""

from __future__ import annotations

import click
import orjson
import polars as pl

from riskml.core.redaction import printable
from riskml.streaming.scorer import FINAL, WITHDRAWN


class PeopleSink:
    """A few lines an alert on standard output; an early one is told once."""

    def write(self, rows: pl.DataFrame) -> None:
        """Tell of alerts that are new, and of early ones that were withdrawn."""
        for row in rows.filter(pl.col("raised").is_not_null()).iter_rows(named=True):
            # one that was early is known already
            known = row["revision"] > 1 and row["raised_at"] is not None
            if row["raised"] == WITHDRAWN:
                click.echo(f"withdrawn  {self._window(row)}")
            elif row["raised"] == FINAL or not known:
                click.echo(f"{row['raised']:9}  {self._window(row)}  risk {row['risk']:.3f}")
                for reason in orjson.loads(row["reasons"] or "[]"):
                    click.echo(f"           - {printable(reason['text'])}")

    @staticmethod
    def _window(row: dict[str, object]) -> str:
        start = f"{row['window_start']:%Y-%m-%d %H:%M}"
        return f"{start} {printable(str(row['user_id']))}, {row['n_events']} events"

    def settle(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""
