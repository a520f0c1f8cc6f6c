"""`riskml dashboards`: what Grafana shows of riskml's metrics."""

from __future__ import annotations

from pathlib import Path

import click

from riskml.cli_types import needing
from riskml.core.redaction import printable


@click.group(
    epilog="""\b
    Examples:
      riskml dashboards write --out deploy/grafana
      export RISKML_GRAFANA_TOKEN=...      # of a service account that may edit
      riskml dashboards publish --grafana https://grafana.example --prometheus http://prometheus:9090
    """
)
def dashboards() -> None:
    """Make dashboards for Grafana: operations, detection, model, service levels."""


@dashboards.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder for a JSON file each.",
)
def write(out: Path) -> None:
    """Write them as JSON, for provisioning or to look at."""
    with needing("monitoring"):
        from riskml.monitoring.dashboards import write_dashboards

    for path in write_dashboards(out):
        click.echo(str(path))


@dashboards.command()
@click.option("--grafana", "url", required=True, metavar="URL", envvar="RISKML_GRAFANA_URL")
@click.option(
    "--prometheus", metavar="URL", help="Also make a data source of it, as Grafana reaches it."
)
@click.option("--folder", default="riskml", show_default=True, help="Its title.")
def publish(url: str, prometheus: str | None, folder: str) -> None:
    """Make or renew folder, data source and dashboards in a Grafana; again changes nothing.

    The token of a service account is read from RISKML_GRAFANA_TOKEN.
    """
    with needing("monitoring"):
        from riskml.monitoring.dashboards import dashboards as made
        from riskml.monitoring.grafana import Grafana, token_of_environment

    grafana = Grafana(url, token_of_environment())
    click.echo(f"folder {printable(folder)}: {grafana.folder(folder)}")
    if prometheus is not None:
        click.echo(f"data source {printable(prometheus)}: {grafana.data_source(prometheus)}")
    for uid, content in made().items():
        click.echo(f"dashboard {uid}: {grafana.dashboard(content)}")
