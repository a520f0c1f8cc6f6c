"""Letters: files for one receiver, which the outbox keeps until a channel has sent them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.log_tables import OUTBOX
from riskml.alerting.messages import TRACE
from riskml.alerting.outbox import post
from riskml.alerting.trail import JOB, Trail

LETTER = "letter"
"""Kind of a notice that is one."""

OF_NO_ALERT = ""
"""What the outbox and the trail have for its alert."""


@dataclass(frozen=True)
class Letter:
    """Something to be sent once.

    Args:
        key: what it is, and whom it is for: the same key is the same letter.
        channel: name of the channel that sends it.
        to: the receiver.
        subject: of it.
        text: of it.
        files: name → content.
    """

    key: str
    channel: str
    to: str
    subject: str
    text: str
    files: Mapping[str, bytes]

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        files = {name: base64.b64encode(file).decode() for name, file in self.files.items()}
        about = {name: getattr(self, name) for name in ("channel", "to", "subject", "text")}
        return {**about, "files": files}


def letter_of(notice: RowMapping) -> Letter:
    """The letter of a row of the outbox."""
    found = json.loads(notice["content"])
    found.pop(TRACE, None)
    files = {name: base64.b64decode(file) for name, file in found.pop("files").items()}
    return Letter(notice["key"], **found, files=files)


def post_letter(log: AlertLog, letter: Letter, at: datetime) -> bool:
    """Put a letter into the outbox; whether it is new. The trail has the digests of its files.

    Args:
        log: whose outbox.
        letter: that has to be sent.
        at: now.

    Raises:
        DataError: the database refused.
    """
    with log.alone("the database refused the letter") as connection:
        there = select(OUTBOX.c.number).where(OUTBOX.c.key == letter.key)
        if connection.execute(there).first() is not None:
            return False
        digests = {name: hashlib.sha256(file).hexdigest() for name, file in letter.files.items()}
        why = f"to {letter.to}"
        notice = post(connection, OF_NO_ALERT, LETTER, letter.key, at, **letter.plain())
        Trail(connection).add(OF_NO_ALERT, at, JOB, LETTER, why, **notice, files=digests)
    return True
