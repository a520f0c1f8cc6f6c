"""The part of a table that is read: from one moment on, up to another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from riskml.core.errors import ConfigError
from riskml.data.timestamps import check_time_zone


@dataclass(frozen=True)
class TimeRange:
    """From `since` on and before `until`; None leaves that side open.

    Args:
        since: ISO 8601, such as 2024-03-01 or 2024-03-01T12:00:00+01:00.
        until: the same; this moment itself is out.
        time_zone: IANA name for moments and columns without a zone.

    Raises:
        ConfigError: a moment cannot be read or has no zone, or the range is empty.
    """

    since: str | None = None
    until: str | None = None
    time_zone: str | None = None

    def __post_init__(self) -> None:
        check_time_zone(self.time_zone)
        since, until = self.moments()
        if since is not None and until is not None and since >= until:
            raise ConfigError(f"since={self.since} must be before until={self.until}")

    def moments(self) -> tuple[datetime | None, datetime | None]:
        """Both ends, with their zone."""
        return self._moment("since", self.since), self._moment("until", self.until)

    def bounds_for(self, example: object, column: str) -> dict[str, object]:
        """Both ends as values that compare with a column, by the operator they go with.

        Args:
            example: a value of the column; a date-time without zone is taken for local time in
                `time_zone`.
            column: its name, for messages.

        Raises:
            ConfigError: the column holds no dates.
        """
        found: dict[str, object] = {}
        for operator, moment in zip((">=", "<"), self.moments(), strict=True):
            if moment is None:
                continue
            if isinstance(example, datetime):
                found[operator] = moment if example.tzinfo else self._local(moment)
            elif isinstance(example, date):
                found[operator] = self._local(moment).date()
            else:
                raise ConfigError(
                    f"since and until need a column of date-times, but '{column}' holds "
                    f"{type(example).__name__}: cast it in query=, or leave since and until out"
                )
        return found

    def _moment(self, name: str, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError as error:
            raise ConfigError(
                f"{name}={text}: is no ISO 8601 date; write 2024-03-01T12:00:00+01:00, or "
                "2024-03-01 with time_zone= set"
            ) from error
        if moment.tzinfo is None:
            if self.time_zone is None:
                raise ConfigError(
                    f"{name}={text}: has no time zone; write one, as in 2024-03-01T12:00:00Z, or "
                    "set time_zone="
                )
            moment = moment.replace(tzinfo=ZoneInfo(self.time_zone))
        return moment.astimezone(UTC)

    def _local(self, moment: datetime) -> datetime:
        zone = ZoneInfo(self.time_zone) if self.time_zone else UTC
        return moment.astimezone(zone).replace(tzinfo=None)
