"""What people do for a living: each role's pace, hours and grammar of actions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskml.data.simulator.randomness import Floats
from riskml.data.simulator.vocabulary import ACTION_CODE, ACTION_NAMES, FOLLOWS, LOGOFF, LOGON


@dataclass(frozen=True)
class Role:
    """One kind of job.

    Attributes:
        name: the word in the ``role`` column.
        share: relative number of people.
        events_per_day: mean events of a working day.
        sessions_per_day: mean number of sessions of a working day.
        start_hour: mean local hour at which the day starts.
        on_call: share of the role's members who take turns on call.
        mix: relative weight of each action within the day.
    """

    name: str
    share: float
    events_per_day: float
    sessions_per_day: float
    start_hour: float
    on_call: float
    mix: dict[str, float]


_EVERYONE = {
    "app_launch": 4.0,
    "file_open": 10.0,
    "file_write": 5.0,
    "file_copy": 1.2,
    "file_delete": 0.5,
    "search": 2.5,
    "email_read": 14.0,
    "email_send": 6.0,
    "email_external": 1.2,
    "web_visit": 14.0,
    "download": 1.2,
    "upload": 0.5,
    "print": 0.6,
    "ticket_view": 1.0,
    "ticket_update": 0.3,
    "remote_logon": 0.10,
    "admin_command": 0.03,
    "privilege_change": 0.008,
    "password_reset": 0.03,
    "usb_connect": 0.04,
    "usb_copy": 0.02,
    "share_change": 0.25,
    "db_query": 0.6,
    "db_export": 0.05,
    "code_pull": 0.05,
    "code_push": 0.02,
}


def _mix(**changes: float) -> dict[str, float]:
    return {**_EVERYONE, **changes}


ROLES = (
    Role(
        "engineer",
        0.22,
        47,
        2.4,
        9.5,
        0.12,
        _mix(
            code_pull=9,
            code_push=6,
            ticket_view=5,
            ticket_update=3,
            remote_logon=1.2,
            admin_command=0.8,
            db_query=3,
            db_export=0.2,
        ),
    ),
    Role(
        "analyst",
        0.13,
        45,
        2.2,
        9.0,
        0.04,
        _mix(db_query=14, db_export=1.2, download=2.0, file_copy=1.8, code_pull=1),
    ),
    Role(
        "finance",
        0.11,
        42,
        2.0,
        8.5,
        0.0,
        _mix(db_query=6, db_export=0.7, print=2.0, file_write=8, email_external=2.0),
    ),
    Role(
        "human_resources",
        0.07,
        38,
        2.0,
        8.7,
        0.0,
        _mix(print=1.8, email_external=2.2, db_query=2.5, share_change=0.6),
    ),
    Role(
        "sales",
        0.16,
        44,
        3.0,
        8.8,
        0.0,
        _mix(email_external=6.0, email_send=9, upload=1.2, download=1.8, web_visit=18),
    ),
    Role(
        "support",
        0.13,
        48,
        2.2,
        8.0,
        0.15,
        _mix(
            ticket_view=16,
            ticket_update=10,
            password_reset=0.5,
            remote_logon=0.8,
            admin_command=0.4,
            search=5,
        ),
    ),
    Role(
        "it_admin",
        0.07,
        48,
        2.6,
        8.5,
        0.45,
        _mix(
            remote_logon=5,
            admin_command=9,
            privilege_change=0.35,
            password_reset=0.6,
            ticket_view=6,
            ticket_update=4,
            usb_connect=0.08,
            file_copy=2.0,
        ),
    ),
    Role(
        "legal",
        0.04,
        36,
        1.8,
        9.2,
        0.0,
        _mix(file_open=16, search=6, print=2.5, email_external=2.5),
    ),
    Role(
        "executive",
        0.03,
        36,
        3.0,
        8.2,
        0.0,
        _mix(email_read=20, email_send=9, email_external=3.0, web_visit=8),
    ),
    Role(
        "researcher",
        0.04,
        40,
        1.8,
        9.8,
        0.0,
        _mix(
            download=3.5,
            db_query=4,
            code_pull=3,
            code_push=1.5,
            upload=0.9,
            usb_connect=0.10,
            usb_copy=0.06,
        ),
    ),
    # Service accounts come from settings.service_share, not from this share.
    Role(
        "service",
        0.0,
        34,
        3.0,
        0.5,
        0.0,
        {
            "db_query": 16,
            "db_export": 1.5,
            "file_copy": 5,
            "file_open": 5,
            "file_write": 4,
            "file_delete": 1.0,
            "remote_logon": 1.5,
            "admin_command": 2,
            "code_pull": 2,
            "download": 0.5,
            "upload": 0.8,
        },
    ),
)
ROLE_NAMES = tuple(role.name for role in ROLES)
SERVICE_ROLE = ROLE_NAMES.index("service")


def mix_table() -> Floats:
    """Return the weight of every action in every role, rows summing to 1: [roles, actions]."""
    table = np.zeros((len(ROLES), len(ACTION_NAMES)))
    for row, role in enumerate(ROLES):
        for name, weight in role.mix.items():
            table[row, ACTION_CODE[name]] = weight
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def boost_table() -> Floats:
    """Return how much likelier the column's action is after the row's: [actions, actions]."""
    table = np.ones((len(ACTION_NAMES), len(ACTION_NAMES)))
    for (before, after), factor in FOLLOWS.items():
        table[ACTION_CODE[before], ACTION_CODE[after]] = factor
    # Sessions are opened and closed by the session builder, never in their middle.
    table[:, [LOGON, LOGOFF]] = 0.0
    return table
