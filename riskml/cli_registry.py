"""`riskml registry`: bundles in MLflow's model registry."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.export.registry import Registry

_store = click.option(
    "--store",
    metavar="URI",
    envvar="MLFLOW_TRACKING_URI",
    show_envvar=True,
    help="MLflow store; sqlite:///outputs/mlflow.db unless given.",
)


@click.group(
    epilog="""\b
    Examples:
      riskml registry register outputs/train/<date>/bundle --name logins --alias challenger
      riskml registry alias logins 3 champion
      riskml registry list logins
      riskml registry fetch models:/logins@champion --out bundles/3
    """
)
def registry() -> None:
    """Register bundles in MLflow, name one champion, fetch it (docs/registry.md)."""


@registry.command()
@click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Of the model.")
@click.option("--alias", help="That points to this version from then on, such as challenger.")
@_store
def register(folder: Path, name: str, alias: str | None, store: str | None) -> None:
    """Make a bundle the next version of a model, after all checks.

    The same bundle again, as its seal tells, is the version that it was.
    """
    made = _open(store).register(folder, name, alias)
    word = "registered as" if made.new else "is already"
    aliases = f" ({', '.join(made.aliases)})" if made.aliases else ""
    click.echo(f"{folder} {word} models:/{name}/{made.version}{aliases}")


@registry.command()
@click.argument("name")
@click.argument("version")
@click.argument("alias")
@_store
def alias(name: str, version: str, alias: str, store: str | None) -> None:
    """Let an alias point to a version: `riskml registry alias logins 3 champion`."""
    _open(store).alias(name, version, alias)
    click.echo(f"models:/{name}@{alias} is version {version}")


@registry.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="A list of versions, for programs.")
@_store
def list_versions(name: str | None, as_json: bool, store: str | None) -> None:
    """List bundles, of one model or of all."""
    found = _open(store).versions(name)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=1, ensure_ascii=False))
        return
    for each in found:
        made = datetime.fromtimestamp(each.created / 1000, UTC)
        words = [f"models:/{each.name}/{each.version}", ",".join(each.aliases) or "-"]
        about = f"{each.detector} on {each.data}, {made:%Y-%m-%d %H:%M} UTC, {each.seal[:12]}"
        click.echo(printable(f"{words[0]:<28} {words[1]:<22} {about}"))


@registry.command()
@click.argument("address", metavar="models:/NAME@ALIAS")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@_store
def fetch(address: str, out: Path, store: str | None) -> None:
    """Download a bundle; the folder appears once it is whole and checked as any bundle is."""
    click.echo(f"{address} is in {_open(store).fetch(address, out)}")


def _open(store: str | None) -> Registry:
    from riskml.export.registry import Registry

    return Registry(store)
