"""Counter-based randomness: every draw is keyed by what it is for, never by what came before.

A day can therefore be made alone, out of order or in another process, and comes out the same.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def purpose_code(purpose: str) -> int:
    """Return a 64-bit number that stands for a purpose, the same on every machine."""
    return int.from_bytes(blake2b(purpose.encode(), digest_size=8).digest(), "little")


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return the generator for one purpose.

    Args:
        seed: the world's seed, at least 0.
        purpose: what the numbers are for, such as ``"ordinary events"``.
        counters: further keys, such as the day's index, each at least 0.
    """
    sequence = np.random.SeedSequence([seed, purpose_code(purpose), *counters])
    return np.random.Generator(np.random.Philox(sequence))


def hashed(seed: int, purpose: str, *keys: NDArray[np.integer] | int) -> NDArray[np.uint64]:
    """Hash integer keys (broadcast together) to 64 random bits with SplitMix64.

    Args:
        seed: the world's seed.
        purpose: keeps different uses of the same keys apart.
        keys: integer arrays or numbers that broadcast to the result's shape.
    """
    start = (seed * 0x9E3779B97F4A7C15 + purpose_code(purpose)) & 0xFFFFFFFFFFFFFFFF
    value = np.asarray(start, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            value = value + _GOLDEN + np.asarray(key).astype(np.uint64) * _MIX_2
            value = (value ^ (value >> np.uint64(30))) * _MIX_1
            value = (value ^ (value >> np.uint64(27))) * _MIX_2
            value = value ^ (value >> np.uint64(31))
    return np.asarray(value, dtype=np.uint64)


def hashed_uniform(seed: int, purpose: str, *keys: NDArray[np.integer] | int) -> Floats:
    """Hash integer keys to numbers that are uniform on [0, 1)."""
    bits = hashed(seed, purpose, *keys) >> np.uint64(11)
    return np.asarray(bits.astype(np.float64) * 2.0**-53)


def zipf_cumulative(size: int, exponent: float = 1.0) -> Floats:
    """Return the cumulative probabilities of ranks 1 … ``size`` under Zipf's law."""
    weights = 1.0 / np.arange(1, size + 1, dtype=np.float64) ** exponent
    return np.asarray(np.cumsum(weights) / weights.sum())
