"""What is posted and what comes back, checked by pydantic and published as OpenAPI."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from riskml.serving.http.problems import MOST_ERRORS, Problem

FIRST = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
LAST = datetime.fromisoformat("2200-01-01T00:00:00+00:00")
_TIME_WORDS = "ISO 8601 with its offset from UTC, from 1970 until 2200"

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Note = Annotated[str, StringConstraints(max_length=4096)]
Time = Annotated[AwareDatetime, Field(ge=FIRST, lt=LAST, description=_TIME_WORDS)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Scalar = Note | bool | Whole | Number | None
KINDS = ("constrained-str", "bool", "constrained-int", "constrained-float")
"""What pydantic calls the kinds of a `Scalar` in its errors."""

Moment = Annotated[tuple[Number, Number], Field(description="[seconds since the one before, hour]")]


class Event(BaseModel):
    """One row of a log. Further columns that the model reads (`GET /v1/schema`) go beside these."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, Scalar]

    event_id: Annotated[Text, Field(description="unique; one that comes again counts once")]
    user_id: Annotated[Text, Field(description="as in training, a pseudonym if there were any")]
    timestamp: Time
    action: Annotated[Text, Field(description="what was done")]
    resource: Annotated[Note | None, Field(description="to what")] = None
    source: Annotated[Note | None, Field(description="IP address, host or device")] = None
    success: Annotated[bool | None, Field(description="how it ended")] = None
    time_zone: Annotated[Text | None, Field(description="IANA zone of the user's clock")] = None


class Window(BaseModel):
    """One window whose features were computed elsewhere."""

    model_config = ConfigDict(strict=True, extra="forbid")

    user_id: Text
    features: Annotated[
        dict[str, Number],
        Field(description="every feature that `GET /v1/schema` names, raw, not scaled"),
    ]
    window_id: Annotated[Text | None, Field(description="comes back; else the row number")] = None
    peer: Annotated[Text | None, Field(description="peer group; else as learnt in training")] = None
    start: Annotated[Time | None, Field(description="of its first event; else `end`")] = None
    end: Annotated[Time | None, Field(description="of its last event; else now")] = None
    actions: Annotated[
        list[Text] | None,
        Field(description="of its events in order, where the detector reads them", max_length=4096),
    ] = None
    event_times: Annotated[
        list[Moment] | None,
        Field(
            description="of each action: seconds since the event before (the first 0), and hour "
            "of the user's clock (0 to 24)",
            max_length=4096,
        ),
    ] = None


class WindowTable(BaseModel):
    """Many windows in the compact form: columns of the same length, one entry a window."""

    model_config = ConfigDict(strict=True, extra="forbid")

    names: Annotated[list[str], Field(description="the features, in the order of the rows' values")]
    rows: Annotated[list[list[Number]], Field(description="raw feature values, one list a window")]
    user_ids: list[Text]
    window_ids: list[Text] | None = None
    peers: list[Text] | None = None
    starts: list[Time] | None = None
    ends: list[Time] | None = None
    actions: list[list[Text]] | None = None
    event_times: list[list[Moment]] | None = None


class Reason(BaseModel):
    """Why a window scored as it did."""

    topic: Annotated[str, Field(description="feature topic or action")]
    share: Annotated[float, Field(description="part of the score that is due to it")]
    text: Annotated[str, Field(description="for people")]


class ScoredWindow(BaseModel):
    """A window with its risk."""

    window_id: str
    user_id: str
    start: datetime
    end: datetime
    n_events: int
    peer: Annotated[str, Field(description="the user's peer group")]
    score: Annotated[float, Field(description="of the detector; higher is riskier")]
    p_value: Annotated[float, Field(description="chance that a normal window scores as high")]
    risk: Annotated[float, Field(description="0 to 100: −25 · log10(p)", ge=0, le=100)]
    alert: Annotated[bool, Field(description="whether the threshold is passed")]
    learning: Annotated[bool, Field(description="whether the user is too new to be known")]
    reasons: Annotated[
        list[Reason] | None, Field(description="largest share first; null where not asked for")
    ]


class Scored(BaseModel):
    """What a model says of the windows, all of one model version."""

    model_version: str
    windows: list[ScoredWindow]


class ScoredEvents(Scored):
    """Windows of posted events, as they stand."""

    late_events: Annotated[
        int, Field(description="left out: the model has closed their windows before it was made")
    ]
    repeated_events: Annotated[int, Field(description="left out: their event_id came before")]


class WrongField(BaseModel):
    """Where a body is wrong."""

    row: Annotated[int | None, Field(description="from 0; null: not of one row")]
    field: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[WrongField] | None = None


class Reloaded(BaseModel):
    """What became of a reload."""

    model_version: Annotated[str, Field(description="that answers from now on")]
    previous: Annotated[str, Field(description="that answered before")]
    changed: bool


class Status(BaseModel):
    """Whether the service is there."""

    status: Literal["ok", "ready", "starting", "stopping"]


EVENTS = TypeAdapter(list[Event])
WINDOWS = TypeAdapter(list[Window])
TABLE = TypeAdapter(WindowTable)

T = TypeVar("T")


def parsed(body: bytes, kind: TypeAdapter[T]) -> T:
    """Read a body.

    Raises:
        Problem: 400 where it is no JSON, 422 where it is of another form, with rows and fields.
    """
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise _problem(found[:MOST_ERRORS], error.error_count()) from None


def _problem(found: list[Any], number: int) -> Problem:
    if found[0]["type"] == "json_invalid":
        return Problem(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {_message(found[0])}")
    wrong = [_wrong(each["loc"], _message(each)) for each in found]
    # a value that may be of several kinds is wrong as each of them: told once
    errors = list({(each["row"], each["field"]): each for each in reversed(wrong)}.values())[::-1]
    first = errors[0]
    where = "the body" if first["row"] is None else f"row {first['row']}"
    where = f"{where}, field '{first['field']}'" if first["field"] else where
    more = f" ({number} errors in all)" if number > 1 else ""
    detail = f"{where}: {first['message']}{more}"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)


def _message(error: Any) -> str:
    text = str(error["msg"]).removeprefix("Invalid JSON: ")
    return text.replace("Input should", "should").replace("Field required", "is missing")


def _wrong(place: Iterable[str | int], message: str) -> dict[str, Any]:
    row: int | None = None
    names: list[str] = []
    for part in place:
        if row is None and isinstance(part, int):
            row = part
        elif not (names and part in KINDS):
            names.append(str(part)[:100])
    return {"row": row, "field": ".".join(names), "message": message}
