"""The commands `riskml pseudonyms ...`: show a user's pseudonym, forget a user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.core.errors import DataError

if TYPE_CHECKING:
    from riskml.core.pseudonyms import Pseudonyms

_store = click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RISKML_PSEUDONYM_STORE",
    show_envvar=True,
    help="SQLite file of data.pseudonyms.store.",
)
_key_variable = click.option(
    "--key-variable",
    default="RISKML_PSEUDONYM_KEY",
    show_default=True,
    help="Environment variable that holds the key, as in data.pseudonyms.key_variable.",
)


@click.group(
    epilog="""\b
    Examples:
      export RISKML_PSEUDONYM_STORE=pseudonyms.db
      riskml pseudonyms show u17
      riskml pseudonyms forget -

    USER may be -: it is then read from standard input, and no history keeps it.
    """
)
def pseudonyms() -> None:
    """Look up or forget the pseudonym of a user (docs/privacy.md)."""


@pseudonyms.command()
@click.argument("user")
@_store
@_key_variable
def show(user: str, store: Path | None, key_variable: str) -> None:
    """Show the pseudonym that USER has now."""
    found = _pseudonyms(store, key_variable).find(_named(user))
    if found is None:
        raise DataError("this user has no pseudonym: not seen yet, or forgotten")
    click.echo(found)


@pseudonyms.command()
@click.argument("user")
@_store
@_key_variable
def forget(user: str, store: Path | None, key_variable: str) -> None:
    """Unlink USER: nobody can tell any more whose the pseudonym was.

    Old results keep it; logs that still name the user give a new one when they are read again.
    """
    if not _pseudonyms(store, key_variable).forget(_named(user)):
        raise DataError("this user has no pseudonym: not seen yet, or forgotten already")
    click.echo("forgotten: the pseudonym can no longer be traced to this user", err=True)


def _named(user: str) -> str:
    return sys.stdin.readline().strip() if user == "-" else user


def _pseudonyms(store: Path | None, key_variable: str) -> Pseudonyms:
    from riskml.core.pseudonyms import Pseudonyms, SaltStore, read_key

    return Pseudonyms(read_key(key_variable), None if store is None else SaltStore(store))
