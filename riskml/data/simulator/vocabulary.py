"""What can be done: the actions, what each one touches, their sizes and failures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESOURCE_KINDS = ("file", "table", "site", "contact", "repository", "host")
NO_KIND = -1


@dataclass(frozen=True)
class Action:
    """One action of the audit log.

    Attributes:
        name: the word in the ``action`` column.
        kind: the kind of resource that it touches, or None.
        median_bytes: median of the transferred bytes; 0 where none are logged.
        failure_rate: share of ordinary attempts that fail.
    """

    name: str
    kind: str | None = None
    median_bytes: float = 0.0
    failure_rate: float = 0.0


ACTIONS = (
    Action("logon"),
    Action("logoff"),
    Action("app_launch", None, 0, 0.006),
    Action("file_open", "file", 6e4, 0.019),
    Action("file_write", "file", 4e4, 0.013),
    Action("file_copy", "file", 2e5, 0.016),
    Action("file_delete", "file", 0, 0.016),
    Action("search", "file", 0, 0.003),
    Action("email_read", "contact", 3e4),
    Action("email_send", "contact", 3e4, 0.005),
    Action("email_external", "contact", 6e4, 0.01),
    Action("web_visit", "site", 1.5e5, 0.024),
    Action("download", "site", 5e5, 0.024),
    Action("upload", "site", 4e5, 0.019),
    Action("print", "file", 2e5, 0.032),
    Action("db_query", "table", 2e4, 0.024),
    Action("db_export", "table", 6e5, 0.019),
    Action("code_pull", "repository", 2e5, 0.008),
    Action("code_push", "repository", 4e4, 0.032),
    Action("ticket_view", "contact", 0, 0.005),
    Action("ticket_update", "contact", 0, 0.006),
    Action("remote_logon", "host", 0, 0.048),
    Action("admin_command", "host", 0, 0.048),
    Action("privilege_change", "host", 0, 0.08),
    Action("password_reset", None, 0, 0.032),
    Action("usb_connect", None),
    Action("usb_copy", "file", 4e5, 0.016),
    Action("share_change", "file", 0, 0.016),
)

ACTION_NAMES = tuple(action.name for action in ACTIONS)
ACTION_CODE = {name: code for code, name in enumerate(ACTION_NAMES)}
ACTION_KIND = np.array(
    [NO_KIND if a.kind is None else RESOURCE_KINDS.index(a.kind) for a in ACTIONS], dtype=np.int64
)
MEDIAN_BYTES = np.array([a.median_bytes for a in ACTIONS])
FAILURE_RATE = np.array([a.failure_rate for a in ACTIONS])
LOGON, LOGOFF = ACTION_CODE["logon"], ACTION_CODE["logoff"]

# How much likelier an action becomes right after another one, over its share in the role.
FOLLOWS: dict[tuple[str, str], float] = {
    ("logon", "email_read"): 4.0,
    ("logon", "app_launch"): 6.0,
    ("app_launch", "file_open"): 2.0,
    ("search", "file_open"): 4.0,
    ("search", "search"): 2.0,
    ("file_open", "file_open"): 1.6,
    ("file_open", "file_write"): 3.0,
    ("file_open", "print"): 2.5,
    ("file_write", "file_write"): 2.0,
    ("file_write", "file_copy"): 1.5,
    ("file_copy", "file_copy"): 5.0,
    ("file_delete", "file_delete"): 4.0,
    ("email_read", "email_read"): 2.0,
    ("email_read", "email_send"): 3.0,
    ("email_read", "file_open"): 1.3,
    ("web_visit", "web_visit"): 3.0,
    ("web_visit", "download"): 3.0,
    ("db_query", "db_query"): 4.0,
    ("db_query", "db_export"): 3.0,
    ("code_pull", "code_push"): 3.0,
    ("code_push", "ticket_update"): 3.0,
    ("ticket_view", "ticket_update"): 5.0,
    ("ticket_update", "email_send"): 2.0,
    ("remote_logon", "admin_command"): 8.0,
    ("admin_command", "admin_command"): 4.0,
    ("usb_connect", "usb_copy"): 120.0,
    ("usb_copy", "usb_copy"): 40.0,
}
