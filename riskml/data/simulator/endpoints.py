"""From where: devices, network addresses and places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskml.data.simulator.almanac import TIME_ZONE_SHARES
from riskml.data.simulator.people import People
from riskml.data.simulator.randomness import Integers, hashed, hashed_uniform

PER_USER = 32
"""Codes kept for each user: device 0–23 successive computers, 24 the phone;
address 0 the desk, 1 home, 2–31 journeys."""
PHONE = 24
STRANGERS = 4_096
"""Devices and addresses that belong to nobody here: visitors, noise, attackers."""

_SITES = ("London", "Berlin", "New York", "Bangalore", "Seoul")
_ELSEWHERE = (
    "Paris",
    "Madrid",
    "Warsaw",
    "Dublin",
    "Toronto",
    "Chicago",
    "Austin",
    "Singapore",
    "Tokyo",
    "Mumbai",
    "Dubai",
    "Sydney",
    "Sao Paulo",
    "Kyiv",
    "Istanbul",
    "Lagos",
    "Hanoi",
    "Bucharest",
)
PLACES = _SITES + _ELSEWHERE


@dataclass(frozen=True)
class Endpoints:
    """Names of devices and addresses, and the place of each address.

    Attributes:
        users: number of accounts.
        device_names: name of each device code.
        address_names: dotted address of each address code.
        place: index into ``PLACES`` of each address code.
    """

    users: int
    device_names: tuple[str, ...]
    address_names: tuple[str, ...]
    place: Integers

    def stranger(self, number: Integers | int) -> Integers:
        """Return the code (device or address) of a stranger; numbers wrap around."""
        return np.asarray(self.users * PER_USER + np.asarray(number) % STRANGERS)


def make_endpoints(seed: int, people: People) -> Endpoints:
    """Draw the devices and addresses of a world."""
    codes = np.arange(people.count * PER_USER + STRANGERS)
    tags = hashed(seed, "device name", codes) >> np.uint64(24)
    device_names = tuple(f"dev-{tag:010x}" for tag in tags)

    within = codes % PER_USER
    stranger = codes >= people.count * PER_USER
    owner = np.minimum(codes // PER_USER, people.count - 1)
    # Strangers and travellers come from the same places, often from where the company is.
    near = hashed_uniform(seed, "near", codes) < 0.5
    chosen = hashed_uniform(seed, "place", codes)
    anywhere = (chosen * len(PLACES)).astype(np.int64)
    site = np.searchsorted(np.cumsum(TIME_ZONE_SHARES), chosen)
    place = np.where(stranger | (within >= 2), np.where(near, site, anywhere), people.zone[owner])
    bits = hashed(seed, "address", codes)
    octets = [(bits >> np.uint64(shift)) & np.uint64(0xFF) for shift in (0, 8, 16)]
    desk = ~stranger & (within == 0)
    first = np.where(desk, 10, 24 + ((bits >> np.uint64(24)) % np.uint64(180)).astype(np.int64))
    address_names = tuple(f"{a}.{b}.{c}.{d}" for a, b, c, d in zip(first, *octets, strict=True))
    return Endpoints(people.count, device_names, address_names, np.asarray(place))
