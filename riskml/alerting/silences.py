"""Silences of an Alertmanager: listed, made and ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from riskml.alerting.posting import require_address
from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import printable

WAIT_S = 10.0
OURS = {"alertname": "riskml"}
ENDED = "expired"


@dataclass(frozen=True)
class Silence:
    """Alerts that an Alertmanager tells nobody of.

    Args:
        name: that Alertmanager gave it.
        state: active, pending or expired.
        matches: label → value.
        until: when it ends.
        who: made it.
        why: in a sentence.
    """

    name: str
    state: str
    matches: dict[str, str]
    until: datetime
    who: str
    why: str


class Silences:
    """Those of one Alertmanager.

    Args:
        url: of the server, without /api.

    Raises:
        ConfigError: that is no address.
    """

    def __init__(self, url: str) -> None:
        require_address("alertmanager", url)
        self._url = f"{url.rstrip('/')}/api/v2"

    def all(self, ended: bool = False) -> list[Silence]:
        """Those on alerts of ours, the soonest to end first.

        Args:
            ended: also those that have ended.

        Raises:
            DataError: nobody answers.
        """
        found = [_silence(each) for each in self._ask("GET", "silences").json()]
        ours = [each for each in found if OURS.items() <= each.matches.items()]
        return sorted(
            (each for each in ours if ended or each.state != ENDED), key=lambda each: each.until
        )

    def add(self, matches: Mapping[str, str], lasts: timedelta, who: str, why: str) -> str:
        """Make one; gives its name.

        Args:
            matches: label → value: user, peer, signature, severity or alert_id.
            lasts: from now on.
            who: makes it.
            why: in a sentence.

        Raises:
            ConfigError: it would be of all alerts, or of no time.
            DataError: nobody answers, or Alertmanager refuses.
        """
        if not matches:
            raise ConfigError("a silence needs at least one label: with none it would be of all")
        if lasts <= timedelta(0):
            raise ConfigError("a silence has to last")
        now = datetime.now(UTC)
        body = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in {**OURS, **matches}.items()
            ],
            "startsAt": now.isoformat(),
            "endsAt": (now + lasts).isoformat(),
            "createdBy": who,
            "comment": why,
        }
        return str(self._ask("POST", "silences", body).json()["silenceID"])

    def end(self, name: str) -> None:
        """End one now.

        Raises:
            DataError: there is none of this name, or nobody answers.
        """
        self._ask("DELETE", f"silence/{name}")

    def _ask(self, verb: str, what: str, body: Any = None) -> Any:
        import requests

        try:
            answer = requests.request(verb, f"{self._url}/{what}", json=body, timeout=WAIT_S)
        except requests.RequestException as error:
            raise DataError(f"{self._url}: {type(error).__name__}") from error
        if not answer.ok:
            told = printable(" ".join(answer.text.split())[:200])
            raise DataError(f"{self._url}/{what}: HTTP {answer.status_code}: {told}")
        return answer


def _silence(found: dict[str, Any]) -> Silence:
    return Silence(
        found["id"],
        found["status"]["state"],
        {each["name"]: each["value"] for each in found["matchers"]},
        datetime.fromisoformat(found["endsAt"]),
        found["createdBy"],
        found["comment"],
    )
