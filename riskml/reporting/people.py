"""The users with the highest risk, with a picture each."""

from __future__ import annotations

import polars as pl

from riskml.evaluation.reporting.blocks import (
    Block,
    Cell,
    Column,
    Line,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
)
from riskml.reporting.charts import risk_timeline
from riskml.reporting.scenarios import scenario
from riskml.reporting.styles import FONTS
from riskml.reporting.view import View

MOST_SCENARIOS = 3
"""Of a user."""


def people(view: View) -> Section:
    """A table, and the risk over the period of each user."""
    words, users = view.words, view.top_users
    if not users:
        return Section("users", words("top_users"), [])
    who = view.naming
    shown = (
        words("pseudonyms")
        if who is None
        else words("named", who=view.veil.text(who.who), why=view.veil.text(who.why))
    )
    legend = words("timeline_only_raised" if view.scores is None else "timeline_legend")
    pictures = [picture for user in users if (picture := _picture(view, user)) is not None]
    blocks: list[Block] = [Text(shown), _table(view, users), Text(legend), Pictures(pictures)]
    return Section("users", words("top_users"), blocks)


def _table(view: View, users: list[str]) -> Table:
    words, lines = view.words, []
    columns = [Column(words(title), False) for title in ("user", "about")]
    columns += [Column(words(t)) for t in ("highest_risk", "earlier", "raised_windows", "alerts_n")]
    for user in users:
        mine = pl.col("user_id") == user
        windows, before = view.log.windows.filter(mine), view.log_before.windows.filter(mine)
        alerts = view.log.concerned.filter(mine)
        peers = alerts["peer"].drop_nulls().to_list()
        about = [scenario(name, words) for name in alerts["signature"].unique(maintain_order=True)]
        more = " …" if len(about) > MOST_SCENARIOS else ""
        risk, past = windows["risk"].max(), before["risk"].max()
        lines.append(
            Line(
                [
                    view.user(user, peers[0] if peers else None),
                    Cell(view.veil.text("; ".join(about[:MOST_SCENARIOS]) + more)),
                    view.number(float(risk)),  # type: ignore[arg-type]
                    Cell("–") if past is None else view.number(float(past)),  # type: ignore[arg-type]
                    view.number(windows.height),
                    view.number(alerts.height),
                ]
            )
        )
    return Table(words("top_users_table"), columns, lines)


def _picture(view: View, user: str) -> Picture | None:
    words = view.words
    raised = view.log.windows.filter(pl.col("user_id") == user)
    if view.scores is None:
        risks = raised.select("user_id", "window_end", "risk")
    else:
        counted = view.scores.counted
        peers = counted.filter(pl.col("user_id") == user)["peer"].unique()
        risks = counted.filter(pl.col("peer").is_in(peers.implode()))
    ends = set(raised["window_end"])
    span = view.period.start, view.period.end
    svg = risk_timeline(risks, user, ends, span, words, FONTS[words.language])
    if svg is None:
        return None
    mine = risks.filter(pl.col("user_id") == user)
    name, most = view.veil.user(user), words.number(float(mine["risk"].max()))  # type: ignore[arg-type]
    alt = words("timeline_alt", user=name, risk=most, n=mine.height, raised=raised.height)
    return Picture("user", words("timeline", user=name), alt, svg)
