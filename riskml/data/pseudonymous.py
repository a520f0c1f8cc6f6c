"""A log without its users' names: what is replaced, hashed, kept and dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from zoneinfo import available_timezones

import polars as pl

from riskml.core.errors import ConfigError, require
from riskml.core.pseudonyms import DEFAULT_KEY_VARIABLE, Pseudonyms, SaltStore, read_key
from riskml.core.schema import EVENT_SCHEMA, TIME_ZONE
from riskml.data.event_mapping import EventLog

TRUTH_COLUMNS = ("event_id", "label", "incident_id", "scenario")
"""What is kept of the truth; nothing else of it is used."""

MIN_PART = 3
"""A part of a user id (`alice` of `alice@example.org`) counts as a name from this length on."""

WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class PseudonymousLog:
    r"""Takes user ids out of a log.

    `user_id` becomes its pseudonym. In the columns of `replace_in`, and in every text column
    that is kept, ids of users of this log are replaced too where they stand as words of their
    own, in any case: alice in `/home/alice/x`, `Alice@example.org` and `CORP\alice`, but not in
    `malice`. Of ids that are e-mail addresses or have a domain, the bare name counts too.
    Columns of `hashed` are replaced whole by a keyed hash. Further columns of the log are
    dropped, unless they are named in `keep`. Rejected rows lose their record; file and row tell
    where to look it up.

    Args:
        key_variable: environment variable that holds the key.
        store: SQLite file for salts, which lets users be forgotten; None to do without.
        replace_in: columns in which ids of known users are replaced.
        hashed: columns whose every value is replaced by a keyed hash.
        keep: further columns of the log that windows or periods need, such as a session's name.

    Raises:
        ConfigError: a setting is impossible.
    """

    key_variable: str = DEFAULT_KEY_VARIABLE
    store: str | Path | None = None
    replace_in: Sequence[str] = ("event_id", "action", "resource", "source")
    hashed: Sequence[str] = ()
    keep: Sequence[str] = ()

    def __post_init__(self) -> None:
        for column in ("user_id", "timestamp", "success"):
            fits = column not in (*self.replace_in, *self.hashed)
            rule = f"must not name {column}: user_id always is replaced, the others hold no text"
            require("data.pseudonyms.replace_in and .hashed", column, fits, rule)
        for column in self.replace_in:
            if column not in EVENT_SCHEMA:
                raise ConfigError(
                    f"data.pseudonyms.replace_in: '{column}' is no event column; to have it at "
                    "all, name it in data.pseudonyms.keep, and names in it are replaced too"
                )

    @cached_property
    def pseudonyms(self) -> Pseudonyms:
        """The key and the store.

        Raises:
            ConfigError: the key is missing or too short.
        """
        store = None if self.store is None else SaltStore(Path(self.store).expanduser())
        return Pseudonyms(read_key(self.key_variable), store)

    def keeping(self, columns: Iterable[str]) -> PseudonymousLog:
        """The same, that also keeps these columns: those that a run cannot do without.

        Names in them are replaced; one that is in `hashed` stays so.
        """
        there = (*EVENT_SCHEMA, *self.keep, *self.hashed)
        more = dict.fromkeys(column for column in columns if column not in there)
        return replace(self, keep=(*self.keep, *more))

    def apply(self, log: EventLog) -> EventLog:
        """The log without its users' ids, the truth and the quarantine too."""
        names = self.names_of(log.events["user_id"].drop_nulls().unique().sort())
        truth = log.truth
        if truth is not None:
            truth = truth.select(name for name in TRUTH_COLUMNS if name in truth.columns)
            truth = self._replaced(truth, names, [n for n in truth.columns if n != "label"])
        rejected = self._replaced(log.rejected, names, ["file"])
        rejected = rejected.with_columns(record=pl.lit(None, pl.String))
        origin = None if log.origin is None else self._replaced(log.origin, names, ["file"])
        return replace(
            log,
            events=self.left_of(log.events, names),
            truth=truth,
            rejected=rejected,
            origin=origin,
        )

    def events(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events alone, as `apply` does: for a batch, or to be scored by a trained bundle."""
        empty = pl.DataFrame(schema={"file": pl.String, "record": pl.String})
        return self.apply(EventLog(events, None, empty)).events

    def batches(self) -> PseudonymousBatches:
        """For the batches of one log; users of earlier ones are known in later ones."""
        return PseudonymousBatches(self)

    def names_of(self, users: Iterable[str]) -> Names:
        """Finds these users in texts."""
        return Names(self.pseudonyms.of(users))

    def left_of(self, events: pl.DataFrame, names: Names) -> pl.DataFrame:
        """What is left of events once the names are taken out."""
        event_columns = (*EVENT_SCHEMA, TIME_ZONE)
        kept = [n for n in events.columns if n in event_columns or n in self._kept()]
        return self._events(events.select(kept), names)

    def _kept(self) -> set[str]:
        return {*self.keep, *self.hashed}

    def _events(self, events: pl.DataFrame, names: Names) -> pl.DataFrame:
        replaced = [*self.replace_in, TIME_ZONE, *self.keep]
        events = self._replaced(events, names, [n for n in replaced if n not in self.hashed])
        for name in (name for name in self.hashed if name in events.columns):
            texts = events[name].cast(pl.String).drop_nulls().unique()
            hashes = {text: self.pseudonyms.of_value(text) for text in texts}
            events = events.with_columns(_mapped(name, hashes))
        return events.with_columns(_mapped("user_id", names.pseudonyms))

    def _replaced(self, frame: pl.DataFrame, names: Names, columns: Sequence[str]) -> pl.DataFrame:
        """Names in texts replaced; each distinct text is looked at once."""
        for column in (name for name in columns if name in frame.columns):
            values = frame[column]
            if values.dtype in (pl.Categorical, pl.Enum):
                values = values.cast(pl.String)
            if values.dtype == pl.String:
                texts = values.drop_nulls().unique()
                if column == TIME_ZONE:  # a user named Paris must not take Europe/Paris away
                    texts = texts.filter(~texts.is_in(list(available_timezones())))
                changed = names.changed(texts)
                if changed:
                    frame = frame.with_columns(_mapped(column, changed, keep_others=True))
        return frame


class PseudonymousBatches:
    """Takes user ids out of one batch after the other.

    An event id becomes the keyed hash of the whole, so that the same event has the same id
    however many users are known by then.

    Args:
        rules: what is replaced, hashed, kept and dropped.

    Raises:
        ConfigError: the key is missing or too short.
    """

    def __init__(self, rules: PseudonymousLog) -> None:
        self._rules = replace(rules, hashed=(*rules.hashed, "event_id"))
        _ = self._rules.pseudonyms  # a missing key should say so before the work
        self._users: dict[str, None] = {}
        self._names: Names | None = None

    def events(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events without names, further columns dropped."""
        self.meet(events["user_id"].unique())
        if self._names is None:
            self._names = self._rules.names_of(self._users)
        return self._rules.left_of(events, self._names)

    def meet(self, users: Iterable[str]) -> None:
        """Know these users from now on."""
        new = dict.fromkeys(user for user in users if user not in self._users)
        if new:
            self._users.update(new)
            self._names = None

    def texts(self, texts: pl.Series) -> pl.Series:
        """Keyed hashes of whole texts, such as event ids or rejected rows; null stays null."""
        of_value = self._rules.pseudonyms.of_value
        return pl.Series(
            texts.name, [None if text is None else of_value(text) for text in texts], pl.String
        )

    def marks(self) -> tuple[str, ...]:
        """What tells this key and store from others (`Pseudonyms.marks`)."""
        return self._rules.pseudonyms.marks()


def _mapped(column: str, mapping: Mapping[str, str], keep_others: bool = False) -> pl.Expr:
    texts = pl.col(column).cast(pl.String)
    default = texts if keep_others else None
    return texts.replace_strict(mapping, default=default, return_dtype=pl.String).alias(column)


class Names:
    """The names of known users, found in texts as words of their own.

    Args:
        pseudonyms: user id -> pseudonym.
    """

    def __init__(self, pseudonyms: Mapping[str, str]) -> None:
        self.pseudonyms = pseudonyms
        folded: dict[str, str] = {}
        for user, pseudonym in pseudonyms.items():
            folded.setdefault(user.casefold(), pseudonym)
        for user, pseudonym in pseudonyms.items():
            for part in (user.split("@")[0], user.rpartition("\\")[2]):
                if len(part) >= MIN_PART:
                    folded.setdefault(part.casefold(), pseudonym)
        self._folded = folded
        # where names begin, as seen from their first word, and how long they are: the longest
        # first, so that alice.smith goes before alice
        shapes: dict[str, set[tuple[int, int]]] = {}
        for name in folded:
            word = WORD.search(name)
            if word is not None:
                shapes.setdefault(word.group(), set()).add((len(name), word.start()))
        self._shapes = {word: sorted(found, reverse=True) for word, found in shapes.items()}

    def changed(self, texts: pl.Series) -> dict[str, str]:
        """Text -> text with pseudonyms, for those of the texts that hold a name."""
        if texts.is_empty() or not self._shapes:
            return {}
        # A quick look by Polars first: most texts hold no name.
        held = texts.str.to_lowercase().str.contains_any(list(self._shapes))
        odd = texts.str.contains(r"[^\x00-\x7f]")  # lower case is not all of case folding there
        found = {text: self.replaced(text) for text in texts.filter(held | odd)}
        return {text: new for text, new in found.items() if new != text}

    def replaced(self, text: str) -> str:
        """One text with pseudonyms; for many of them `changed` is quicker, for one this."""
        folded = text.casefold()
        if len(folded) != len(text):  # as for ß: positions would differ
            text = folded
        pieces, done = [], 0
        for word in WORD.finditer(folded):
            for length, lead in self._shapes.get(word.group(), ()):
                begin = word.start() - lead
                end = begin + length
                name = folded[begin:end]
                if begin >= done and name in self._folded and _ends(folded, end):
                    pieces += [text[done:begin], self._folded[name]]
                    done = end
                    break
        return "".join([*pieces, text[done:]])


def _ends(text: str, end: int) -> bool:
    """Whether no word goes on here."""
    return end >= len(text) or WORD.match(text[end]) is None or WORD.match(text[end - 1]) is None
