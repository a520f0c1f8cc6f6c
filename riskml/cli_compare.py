"""`riskml compare`: a challenger beside the champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_types import COLUMN_OPTIONS, PAIR, options_for_settings
from riskml.core.errors import ConfigError
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.serving.side_by_side import Side

FORMAT = 1
NAMES = ("both", "only_a", "only_b")


@click.command(
    epilog="""\b
    Examples:
      riskml compare champion challenger --source 'log/**/*.parquet' --plots plots
      riskml compare --scores scores 141a66674db2 aa69123e58f6 --json
    """
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--source", metavar="URL_OR_PATH", help="Events that both bundles score, in memory.")
@click.option(
    "--scores",
    metavar="URL_OR_FOLDER",
    help="Instead: where riskml score has written; A and B are model versions there.",
)
@click.option("--table", default="events", show_default=True, help="Of the source's database.")
@click.option(
    "--column",
    "columns",
    type=PAIR,
    multiple=True,
    help="Event column and that of the source, such as user_id=employee.",
)
@click.option("--time-zone", help="IANA name, for times without a zone.")
@click.option(
    "--users",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Whose risk moved most, to list.",
)
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for pictures.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/compare.md).")
@options_for_settings(COLUMN_OPTIONS)
def compare(
    a: str,
    b: str,
    source: str | None,
    scores: str | None,
    table: str,
    columns: tuple[tuple[str, str], ...],
    time_zone: str | None,
    users: int,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Compare two bundles on the same events, or two models whose scores a job has written.

    Says how alike they rank windows, how many alerts they share, what budget each keeps, and whose
    risk moved most (docs/compare.md). Windows are matched by user and time.
    """
    from riskml.evaluation.agreement import joined
    from riskml.serving.side_by_side import read_scores

    if (source is None) == (scores is None):
        raise ConfigError("give either --source EVENTS, for bundles, or --scores PLACE")
    if scores is not None:
        sides = (read_scores(scores, a), read_scores(scores, b))
    else:
        sides = _scored(Path(a), Path(b), str(source), table, dict(columns), time_zone)
    if sides[0].version == sides[1].version:
        raise ConfigError(f"{a} and {b} are the same model: version {sides[0].version}")
    matched = joined(sides[0].rows, sides[1].rows)
    found = _report(sides, matched, users)
    if plots is not None:
        from riskml.evaluation.reporting.agreement_plots import save_plots

        for path in save_plots(matched, (sides[0].name, sides[1].name), plots):
            click.echo(f"plot {path}", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for line in _lines(found):
            click.echo(printable(line))


def _scored(
    a: Path, b: Path, source: str, table: str, columns: dict[str, str], time_zone: str | None
) -> tuple[Side, Side]:
    from riskml.data.event_mapping import EventMapping
    from riskml.export.bundle import load_bundle
    from riskml.serving.events import open_source
    from riskml.serving.side_by_side import check_same_windows, read_log, score_log

    first, second = load_bundle(a), load_bundle(b)
    check_same_windows(first, second)
    mapping = EventMapping(columns=columns, time_zone=time_zone)
    events = read_log(open_source(source, table, mapping, 100_000), (first, second))
    return score_log(first, events, str(a)), score_log(second, events, str(b))


def _report(sides: tuple[Side, Side], matched: Any, users: int) -> dict[str, Any]:
    from riskml.evaluation.agreement import agreement, moved_most

    found = agreement(matched)
    models = {
        letter: {
            "name": side.name,
            "version": side.version,
            "windows": len(side.rows),
            "threshold": side.threshold,
            "promised_alerts_a_day": side.promised,
            "delivered_alerts_a_day": found["alerts_a_day"]["both"]
            + found["alerts_a_day"][f"only_{letter}"],
        }
        for letter, side in zip("ab", sides, strict=True)
    }
    moved = moved_most(matched, users).to_dicts()
    why = [side.reasons(moved) for side in sides]
    movers = [
        {
            "user_id": row["user_id"],
            "window_start": row["window_start"].isoformat(),
            "window_end": row["window_end"].isoformat(),
            "risk_a": row["risk_a"],
            "risk_b": row["risk_b"],
            "reasons_a": first,
            "reasons_b": second,
        }
        for row, first, second in zip(moved, *why, strict=True)
    ]
    return {"format": FORMAT, "models": models, **found, "moved_most": movers}


def _lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    lines = [
        f"{letter.upper()}  {model['name']} (version {model['version']})"
        for letter, model in found["models"].items()
    ]
    lines += [
        f"{found['windows']:,} windows of {found['users']:,} users on {found['days']:,} days",
        "",
        f"rank correlation    Spearman {_number(found['spearman'])}, "
        f"Kendall {_number(found['kendall'])}",
        "",
        "alerts a day        "
        + ", ".join(
            f"{name.replace('_a', ' A').replace('_b', ' B')} {found['alerts_a_day'][name]:.2f}"
            for name in NAMES
        ),
    ]
    for letter, model in found["models"].items():
        lines.append(
            f"  {letter.upper()} promised {_number(model['promised_alerts_a_day'], 2)}, "
            f"delivered {model['delivered_alerts_a_day']:.2f}, "
            f"threshold {_number(model['threshold'])}"
        )
    lines += ["", "overlap of the highest windows, by alerts a day per 1,000 users"]
    lines += [
        f"  {each['per_1000_users']:>4g}  {_number(each['jaccard'])}" for each in found["overlap"]
    ]
    quantiles = "".join(f"{q:>10.0%}" for q in found["quantiles"])
    lines += ["", f"{'share of windows below':<24}{quantiles}"]
    for letter in ("a", "b"):
        for name, values in found["distribution"][letter].items():
            row = "".join(f"{value:>10.4g}" for value in values)
            lines.append(f"  {f'{name} {letter.upper()}':<22}{row}")
    lines += ["", "users whose risk moved most"]
    for each in found["moved_most"]:
        window = f"{each['window_start'][:16]} to {each['window_end'][:16]}"
        risks = f"A {each['risk_a']:.1f} → B {each['risk_b']:.1f}"
        lines.append(f"  {each['user_id']}, {window}: {risks}")
        for letter in ("a", "b"):
            lines += [f"    {letter.upper()}: {text}" for text in each[f"reasons_{letter}"]]
    return lines


def _number(value: float | None, digits: int = 3) -> str:
    return "not known" if value is None else f"{value:.{digits}f}"
