"""What becomes of an alert, and how grave it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

from riskml.core.arguments import check_kind
from riskml.core.errors import ConfigError, DataError, require
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class AlertState(StrEnum):
    """Where an alert stands with the people who look at it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    FALSE_ALARM = "false_alarm"
    ACCEPTED_RISK = "accepted_risk"

    @property
    def is_ended(self) -> bool:
        """Whether nobody has to look at it any more."""
        return self in ENDED


ENDED = (AlertState.RESOLVED, AlertState.FALSE_ALARM, AlertState.ACCEPTED_RISK)


def may_become(now: AlertState) -> tuple[AlertState, ...]:
    """Open alerts are acknowledged or ended, acknowledged ones ended, ended ones opened again."""
    if now is AlertState.OPEN:
        return (AlertState.ACKNOWLEDGED, *ENDED)
    return ENDED if now is AlertState.ACKNOWLEDGED else (AlertState.OPEN,)


def check_change(alert_id: str, now: AlertState, then: AlertState) -> None:
    """Refuse what `may_become` does not have.

    Raises:
        DataError: it does not go from one to the other.
    """
    may = may_become(now)
    if then not in may:
        raise DataError(
            f"alert {printable(alert_id)} is {now} and cannot become {then}; it can become "
            f"{' or '.join(may)}"
        )


class Severity(StrEnum):
    """How grave an alert is, from the lowest."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the lowest."""
        return list(Severity).index(self)


class FromFile:
    """Settings that a file may give: pydantic refuses those that there are not.

    Before it reads them they are held to their annotations as those of a config are: to pydantic
    `true` is the number 1.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core.core_schema import no_info_before_validator_function

        return no_info_before_validator_function(cls._kinds_checked, handler(source))

    @classmethod
    def _kinds_checked(cls, found: Any) -> Any:
        from pydantic_core import PydanticCustomError

        given = found if isinstance(found, dict) else {}
        for name, parameter in signature(cls).parameters.items():
            try:
                if name in given:
                    check_kind(name, parameter, given[name])
            except ConfigError as error:  # pydantic knows where in the file this is
                raise PydanticCustomError("kind", "{said}", {"said": str(error)}) from error
        return found


@dataclass(frozen=True)
class SeverityLevels(FromFile):
    """Risk → severity.

    Args:
        medium: least risk of a medium alert; below it is low.
        high: of a high one.
        critical: of a critical one.

    Raises:
        ConfigError: they do not rise from 0 to 100.
    """

    medium: float = 50.0
    high: float = 75.0
    critical: float = 90.0

    def __post_init__(self) -> None:
        rise = 0 <= self.medium <= self.high <= self.critical <= 100
        rule = "medium, high and critical must rise, from 0 to 100"
        require("severity", (self.medium, self.high, self.critical), rise, rule)

    def of(self, risk: float) -> Severity:
        """The severity of a risk from 0 to 100."""
        if risk >= self.critical:
            return Severity.CRITICAL
        if risk >= self.high:
            return Severity.HIGH
        return Severity.MEDIUM if risk >= self.medium else Severity.LOW
