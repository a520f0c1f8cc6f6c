"""Dashboards for Grafana, made by code; `deploy/grafana` holds what it makes.

A dashboard is rows of panels, a panel some queries of Prometheus: `pages` says which.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)

from riskml.monitoring.pages import PAGES
from riskml.monitoring.panels import Page, Panel

SOURCE = "source"
_PROMETHEUS = DataSourceRef(type_val="prometheus", uid=f"${{{SOURCE}}}")
WIDTH, STAT_HEIGHT, HEIGHT = 24, 4, 8


def dashboards() -> dict[str, dict[str, Any]]:
    """Grafana's JSON of all dashboards by uid, which never changes."""
    return {page.uid: json.loads(_text(page)) for page in PAGES}


def _text(page: Page) -> str:
    made = (
        builders.Dashboard(page.title)
        .uid(page.uid)
        .description(page.about)
        .tags(["riskml"])
        .timezone("utc")
        .time("now-24h", "now")
        .refresh("1m")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable(SOURCE).label("Prometheus").type("prometheus"))
    )
    number = 0
    for row in page.rows:
        made = made.with_row(builders.Row(row.title))
        width = WIDTH // len(row.panels)
        for panel in row.panels:
            number += 1
            made = made.with_panel(_panel(panel).id(number).span(width))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build())


def _panel(panel: Panel) -> Any:
    made: Any = _number(panel) if panel.is_number else _curve(panel)
    made = made.title(panel.title).description(panel.about).datasource(_PROMETHEUS)
    if panel.unit:
        made = made.unit(panel.unit)
    if panel.limit is not None:
        steps = [Threshold(None, "green"), Threshold(panel.limit, "red")]
        config = builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
        made = made.thresholds(config)
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        target = Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        made = made.with_target(target.instant() if panel.is_number else target.range())
    return made


def _number(panel: Panel) -> Any:
    options = common.ReduceDataOptions().calcs(["lastNotNull"])
    coloured = BigValueColorMode.NONE if panel.limit is None else BigValueColorMode.VALUE
    made = stat.Panel().height(STAT_HEIGHT).reduce_options(options).color_mode(coloured)
    return made.text_mode(BigValueTextMode.NAME) if panel.names else made.decimals(2)


def _curve(panel: Panel) -> Any:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    legend = legend.placement(LegendPlacement.BOTTOM).show_legend(True)
    return (
        timeseries.Panel()
        .height(HEIGHT)
        .legend(legend)
        .min(0)
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
    )


def write_dashboards(folder: Path) -> list[Path]:
    """Write each to `<uid>.json` in a folder that is there; gives the files."""
    written = []
    for uid, content in dashboards().items():
        written.append(folder / f"{uid}.json")
        written[-1].write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return written
