"""What is to be seen first: a few numbers beside those before, and what needs somebody."""

from __future__ import annotations

import polars as pl

from riskml.evaluation.reporting.blocks import (
    WARNING,
    Block,
    Facts,
    KeyNumber,
    KeyNumbers,
    Section,
    Text,
)
from riskml.reporting.precision import precision_of
from riskml.reporting.view import View
from riskml.reporting.words import NONE

MOST_DAYS = 7


def summary(view: View) -> Section:
    """The first section."""
    words = view.words
    blocks: list[Block] = []
    if view.log.windows.is_empty():
        blocks.append(Text(words("empty"), WARNING))
    needs = attention(view)
    blocks += [Text(text, WARNING, words("attention")) for text in needs]
    if not needs and not view.log.windows.is_empty():
        blocks.append(Text(words("no_grave_waiting" if view.scores is None else "all_well")))
    blocks.append(KeyNumbers(key_numbers(view)))
    return Section("summary", words("summary"), blocks)


def key_numbers(view: View) -> list[KeyNumber]:
    """Of this period, beside the one before."""
    now, before, words = view.log, view.log_before, view.words
    users, users_before = (each.windows["user_id"].n_unique() for each in (now, before))
    precision, past = precision_of(now.alerts), precision_of(before.alerts)
    doubt = ""
    if precision.judged:
        low, high = map(words.percent, precision.interval)
        doubt = words("interval", low=low, high=high) + "; "
    answer_before = words("before", value=words.hours(before.median_answer))
    found = [
        view.key("new_alerts", now.alerts.height, before.alerts.height),
        view.key("grave_alerts", now.grave(), before.grave()),
        view.key("users_concerned", users, users_before),
        view.key("waiting", now.waiting.height, before.waiting.height),
        KeyNumber(
            words.percent(precision.share),
            words("precision_short"),
            doubt + words("before", value=words.percent(past.share)),
        ),
        KeyNumber(words.hours(now.median_answer), words("answer"), answer_before),
    ]
    if view.scores is not None and view.scores_before is not None:
        scored, scored_before = (s.counted.height for s in (view.scores, view.scores_before))
        empty, empty_before = (len(s.empty_days) for s in (view.scores, view.scores_before))
        found.append(view.key("scored", scored, scored_before))
        found.append(view.key("empty_days_short", empty, empty_before))
    return found


def attention(view: View) -> list[str]:
    """What somebody has to do something about."""
    words, found = view.words, []
    grave = view.log.waiting.filter(pl.col("severity").is_in(["high", "critical"])).height
    if grave:
        found.append(words("attention_waiting", n=grave))
    if view.scores is not None and (empty := view.scores.empty_days):
        days = ", ".join(map(words.short_day, empty[:MOST_DAYS]))
        more = ", …" if len(empty) > MOST_DAYS else ""
        found.append(words("attention_days", n=len(empty), days=days + more))
    if view.drift is not None and view.drift.wakes:
        found.append(words("attention_drift", what=view.veil.text(", ".join(view.drift.wakes[:5]))))
    if view.verified.faults:
        fault = view.veil.text(view.verified.faults[0])
        found.append(words("attention_trail", fault=fault))
    return found


def reading(view: View) -> Section:
    """What the words mean, and what the trail says."""
    words = view.words
    terms = ("window", "risk", "alert", "verdict", "times")
    items = [(words(f"term_{term}"), words(f"term_{term}_is")) for term in terms]
    checked = view.verified
    trail = (
        words("term_trail_breaks", faults=checked.count)
        if checked.faults
        else words("term_trail_holds", entries=checked.entries, head=checked.head or NONE)
    )
    items.append((words("term_trail"), trail))
    return Section("reading", words("reading"), [Facts(items, broad=True)])
