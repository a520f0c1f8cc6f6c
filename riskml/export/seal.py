"""A manifest vouches for itself: one way to write it, a hash over it, a signature with a key."""

from __future__ import annotations

import hmac
import json
import os
from hashlib import sha256
from typing import Any

from riskml.core.errors import BundleError, ConfigError

KEY_VARIABLE = "RISKML_BUNDLE_KEY"
MIN_KEY_BYTES = 32
SEAL, SIGNATURE = "seal", "signature"

_MAKE_KEY = 'python -c "import secrets; print(secrets.token_hex(32))"'


def bundle_key() -> bytes | None:
    """The key in `RISKML_BUNDLE_KEY`; None where it is not set. No message ever shows it.

    Raises:
        ConfigError: it is too short.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip().encode()
    if key and len(key) < MIN_KEY_BYTES:
        raise ConfigError(
            f"the key in the environment variable {KEY_VARIABLE} has {len(key)} bytes, at least "
            f"{MIN_KEY_BYTES} are needed. Make one: {_MAKE_KEY}"
        )
    return key or None


def rendered(content: dict[str, Any]) -> str:
    """The one way in which a manifest is written, so that no letter of it can change unseen.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(content: dict[str, Any], key: bytes | None = None) -> dict[str, Any]:
    """The manifest with its signature, if there is a key, and its seal, instead of those it has."""
    made = _without(content, SIGNATURE, SEAL)
    if key is not None:
        made[SIGNATURE] = _signature(made, key)
    return {**made, SEAL: _digest(made)}


def check_seal(text: str, manifest: dict[str, Any], key: bytes | None, path: object) -> None:
    """Refuse a manifest that was changed, or with a key one that was not signed with it.

    Args:
        text: of the file.
        manifest: what it says.
        key: None: a signature is not looked at.
        path: for the message.

    Raises:
        BundleError: the seal does not fit, or the signature is missing or of another key.
    """
    seal = _digest(_without(manifest, SEAL))
    if text != rendered(manifest) or not _same(manifest.get(SEAL), seal):
        raise BundleError(f"{path} was changed after export: its seal does not fit")
    if key is None:
        return
    if SIGNATURE not in manifest:
        raise BundleError(f"{path} is not signed, and {KEY_VARIABLE} asks for signed bundles")
    if not _same(manifest[SIGNATURE], _signature(_without(manifest, SIGNATURE, SEAL), key)):
        raise BundleError(f"{path} is signed with another key than that in {KEY_VARIABLE}")


def _without(manifest: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name not in names}


def _digest(manifest: dict[str, Any]) -> str:
    return sha256(rendered(manifest).encode()).hexdigest()


def _signature(manifest: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, rendered(manifest).encode(), sha256).hexdigest()


def _same(found: object, expected: str) -> bool:
    return isinstance(found, str) and hmac.compare_digest(found.encode(), expected.encode())
