"""What dashboards are made of: pages of rows of panels, and the queries of each."""

from __future__ import annotations

from dataclasses import dataclass

RATIO, SECONDS, BYTES, PER_SECOND = "percentunit", "s", "bytes", "cps"


@dataclass(frozen=True)
class Query:
    """A query of Prometheus.

    Args:
        expr: in PromQL; `$__rate_interval` is Grafana's.
        legend: of its curves, with labels as `{{label}}`.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """Curves, or one number.

    Args:
        title: of the panel.
        about: what it shows, and what to make of it.
        queries: at most six.
        unit: Grafana's name of it; empty: a plain number.
        is_number: it shows the last value alone.
        limit: from which on a number is red.
        names: the legend is what is shown, not the number.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = ""
    is_number: bool = False
    limit: float | None = None
    names: bool = False


@dataclass(frozen=True)
class Row:
    """Panels side by side."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Page:
    """A dashboard.

    Args:
        uid: by which Grafana knows it; also the name of its file.
        title: for people.
        about: whom it serves.
        rows: from the top.
    """

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]


def number(
    title: str, about: str, expr: str, unit: str = "", limit: float | None = None, legend: str = ""
) -> Panel:
    """A panel of the last value alone; `legend` tells several apart."""
    return Panel(title, about, (Query(expr, legend),), unit, True, limit)


def curves(title: str, about: str, unit: str, *queries: tuple[str, str]) -> Panel:
    """A panel of curves, each query with its legend."""
    return Panel(title, about, tuple(Query(*query) for query in queries), unit)
