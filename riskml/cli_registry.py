"""`riskml registry`: bundles in MLflow's model registry."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.cli_types import mlflow_store_option
from riskml.core.errors import ConfigError
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.export.registry import Registry

_json = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


@click.group(
    epilog="""\b
    Examples:
      riskml registry register outputs/train/<date>/bundle --name logins --alias challenger
      riskml registry alias logins 3 champion
      riskml registry list logins
      riskml registry fetch models:/logins@champion --out bundles/3
      riskml registry fetch models:/logins@champion --out 'bundles/{version}' --link bundles/current
    """
)
def registry() -> None:
    """Register bundles in MLflow, name one champion, fetch it (docs/registry.md)."""


@registry.command()
@click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Of the model.")
@click.option("--alias", help="That points to this version from then on, such as challenger.")
@_json
@mlflow_store_option
def register(folder: Path, name: str, alias: str | None, as_json: bool, store: str | None) -> None:
    """Make a bundle the next version of a model, after all checks.

    The same bundle again, as its seal tells, is the version that it was.
    """
    opened = _open(store, makes=True)
    made = opened.register(folder, name, alias)
    if as_json:
        told = asdict(made) | {"champion": opened.champion(name)}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    word = "registered as" if made.new else "is already"
    aliases = f" ({', '.join(made.aliases)})" if made.aliases else ""
    click.echo(f"{folder} {word} models:/{name}/{made.version}{aliases}")


@registry.command()
@click.argument("name")
@click.argument("version")
@click.argument("alias")
@mlflow_store_option
def alias(name: str, version: str, alias: str, store: str | None) -> None:
    """Let an alias point to a version: `riskml registry alias logins 3 champion`."""
    _open(store).alias(name, version, alias)
    click.echo(f"models:/{name}@{alias} is version {version}")


@registry.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="A list of versions, for programs.")
@mlflow_store_option
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
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="New folder; {version} in it becomes the version's number.",
)
@click.option(
    "--link",
    type=click.Path(path_type=Path),
    help="Symbolic link that points to the folder from then on, exchanged in one step.",
)
@_json
@mlflow_store_option
def fetch(address: str, out: Path, link: Path | None, as_json: bool, store: str | None) -> None:
    """Download a bundle; the folder appears once it is whole and checked as any bundle is.

    A folder that holds this very bundle already stays as it is.
    """
    opened = _open(store)
    found = opened.find(address)
    address = f"models:/{found.name}/{found.version}"  # an alias may move meanwhile
    folder = opened.fetch(address, Path(str(out).replace("{version}", found.version)))
    if link is not None:
        point(link, folder)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"folder": str(folder)}, ensure_ascii=False))
    else:
        click.echo(f"{address} is in {folder}")


def _open(store: str | None, makes: bool = False) -> Registry:
    from riskml.export.registry import Registry

    return Registry(store, makes)


def point(link: Path, folder: Path) -> None:
    """Let a symbolic link point to a folder; there is no moment without."""
    if link.exists() and not link.is_symlink():
        raise ConfigError(f"--link {link} is there already and no link: name another")
    link.parent.mkdir(parents=True, exist_ok=True)
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    # relative, so that the link holds where the folder of bundles is mounted elsewhere
    draft.symlink_to(os.path.relpath(folder.resolve(), link.parent.resolve()))
    draft.replace(link)
