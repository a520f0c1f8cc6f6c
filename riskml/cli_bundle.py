"""`riskml bundle`: look at an exported bundle, check it, sign it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from riskml.core.errors import BundleError
from riskml.core.redaction import printable

_folder = click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))


@click.group(
    epilog="""\b
    Examples:
      riskml bundle inspect outputs/train/<date>/bundle
      riskml bundle verify bundle && systemctl reload scoring
      RISKML_BUNDLE_KEY=... riskml bundle sign bundle
    """
)
def bundle() -> None:
    """Look at an exported bundle, check it, sign it (docs/bundle.md)."""


@bundle.command()
@_folder
@click.option("--json", "as_json", is_flag=True, help="The manifest as it is, for programs.")
def inspect(folder: Path, as_json: bool) -> None:
    """Say what a bundle is, after a check of its seal, names, sizes and hashes.

    Nothing of it but the manifest is parsed, so this is quick and safe.
    """
    manifest = _manifest(folder)
    if as_json:
        click.echo(json.dumps(manifest, indent=1, ensure_ascii=False))
        return
    for name, value in _lines(manifest):
        click.echo(f"{name:<18}{printable(value)}")


@bundle.command()
@_folder
@click.option("--runtime", help="Of the graph; the first that the manifest names unless given.")
def verify(folder: Path, runtime: str | None) -> None:
    """Check a bundle as a serving job would: everything, up to the score of a blank window.

    With RISKML_BUNDLE_KEY in the environment it has to be signed with that key. Exit code 0: it
    would be loaded; 2: it would not, and the message says why.
    """
    from riskml.export.bundle import load_bundle
    from riskml.export.seal import SIGNATURE, bundle_key

    loaded = load_bundle(folder, runtime)
    signed = SIGNATURE in loaded.manifest
    word = "signed with your key" if bundle_key() else "signed, not checked: no key is set"
    click.echo(
        f"{folder}: {len(loaded.manifest['files'])} files as exported, "
        f"{word if signed else 'not signed'}; it scores"
    )


@bundle.command()
@_folder
def sign(folder: Path) -> None:
    """Sign a bundle with the key in RISKML_BUNDLE_KEY.

    It is checked first as far as it can be; who made it is for you to know. A bundle of an older
    format becomes one of the present format.
    """
    from riskml.export.bundle import REQUIRED
    from riskml.export.manifest import read_manifest, write_manifest
    from riskml.export.seal import KEY_VARIABLE, bundle_key

    key = bundle_key()
    if key is None:
        raise BundleError(f"set {KEY_VARIABLE} to the key to sign with (32 bytes or more)")
    write_manifest(folder, read_manifest(folder, REQUIRED), key)
    click.echo(f"{folder} is signed")


def _manifest(folder: Path) -> dict[str, Any]:
    from riskml.export.bundle import REQUIRED
    from riskml.export.manifest import read_manifest
    from riskml.export.seal import bundle_key

    return read_manifest(folder, REQUIRED, bundle_key())


def _lines(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """What people want to know, in order; what an older format does not have is left out."""
    files = manifest["files"]
    size = sum(entry.get("size", 0) for entry in files.values())
    graph = manifest.get("graph", {})
    period = [str(manifest.get(name, "")) for name in ("train_from", "train_until")]
    versions = manifest.get("versions", {})
    found = [
        ("format", str(manifest["format"])),
        ("detector", str(manifest.get("detector", ""))),
        ("data", str(manifest.get("data", ""))),
        ("train period", " to ".join(period) if all(period) else ""),
        ("created", str(manifest.get("created", ""))),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("git commit", str(manifest.get("git_commit") or "")),
        ("data fingerprint", str(manifest.get("data_fingerprint", ""))),
        ("graph", str(graph.get("format", "torchscript"))),
        ("runtimes", ", ".join(graph.get("runtimes", []))),
        ("files", f"{len(files)}" + (f", {size:,} bytes" if size else "")),
        ("seal", str(manifest.get("seal", "none"))),
        ("signed", "yes" if "signature" in manifest else "no"),
    ]
    return [(name, value) for name, value in found if value]
