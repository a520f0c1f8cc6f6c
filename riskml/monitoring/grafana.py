"""Puts dashboards into a Grafana over its HTTP API, as often as one likes.

With `requests`: the known client brings a replacement of urllib3 for a whole environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from riskml.core.errors import ConfigError, DataError

TOKEN_VARIABLE = "RISKML_GRAFANA_TOKEN"
FOLDER_UID, SOURCE_UID = "riskml", "riskml-prometheus"
TIMEOUT_S = 30.0
CREATED, CHANGED, UNCHANGED = "created", "changed", "unchanged"

_ITS_OWN = ("id", "version")
"""What Grafana gives a dashboard, beside what it was given."""


class Grafana:
    """One Grafana.

    Args:
        url: of it, with `user:password@` unless the environment has a token of a service account.
        token: that token.

    Raises:
        ConfigError: the URL is none.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("--grafana: give a URL such as https://grafana.example")
        self._session = requests.Session()
        self._session.trust_env = False  # a .netrc would win over the token
        if parts.username:
            self._session.auth = (parts.username, parts.password or "")
        elif token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        else:
            raise ConfigError(f"set {TOKEN_VARIABLE} to the token of a service account of Grafana")
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")

    def folder(self, title: str) -> str:
        """Make the folder, or give it the title; says what was done."""
        found = self._ask("GET", f"folders/{FOLDER_UID}")
        if found is None:
            self._ask("POST", "folders", {"uid": FOLDER_UID, "title": title})
            return CREATED
        if found["title"] == title:
            return UNCHANGED
        self._ask("PUT", f"folders/{FOLDER_UID}", {"title": title, "version": found["version"]})
        return CHANGED

    def data_source(self, prometheus: str) -> str:
        """Make the data source of a Prometheus, or point it there; says what was done."""
        wanted = {
            "uid": SOURCE_UID,
            "name": "riskml Prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": prometheus,
        }
        found = self._ask("GET", f"datasources/uid/{SOURCE_UID}")
        if found is None:
            self._ask("POST", "datasources", wanted)
            return CREATED
        if all(found.get(name) == value for name, value in wanted.items()):
            return UNCHANGED
        # what people have set beside, such as a certificate, stays
        self._ask("PUT", f"datasources/uid/{SOURCE_UID}", {**found, **wanted})
        return CHANGED

    def dashboard(self, content: Mapping[str, Any]) -> str:
        """Make a dashboard in the folder, or put it in place of the one there."""
        found = self._ask("GET", f"dashboards/uid/{content['uid']}")
        if found is not None and found["meta"]["folderUid"] == FOLDER_UID:
            there = {k: v for k, v in found["dashboard"].items() if k not in _ITS_OWN}
            if there == dict(content):
                return UNCHANGED
        self._ask(
            "POST",
            "dashboards/db",
            {
                "dashboard": {**content, "id": None},
                "folderUid": FOLDER_UID,
                "message": "riskml dashboards publish",
                "overwrite": True,
            },
        )
        return CREATED if found is None else CHANGED

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer; None where a GET finds nothing.

        Raises:
            DataError: it does not answer, or refuses.
        """
        try:
            answer = self._session.request(
                method,
                f"{self.url}/api/{path}",
                json=body,
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise DataError(f"Grafana {self.url} does not answer: {_cause(error)}") from error
        if answer.status_code == 404 and method == "GET":
            return None
        if answer.status_code != 200:
            raise DataError(f"Grafana {self.url} refused {method} {path}: {_said(answer)}")
        try:
            return answer.json()
        except ValueError as error:
            raise DataError(f"{self.url} is no Grafana: its answer is no JSON") from error


def token_of_environment() -> str | None:
    """The token that the environment has."""
    return os.environ.get(TOKEN_VARIABLE)


def _said(answer: requests.Response) -> str:
    try:
        message = str(json.loads(answer.text)["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.reason
    return f"{answer.status_code} {message[:200]}"


def _cause(error: requests.RequestException) -> str:
    return type(error).__name__ if error.__context__ is None else type(error.__context__).__name__
