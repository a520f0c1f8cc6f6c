"""One day of the log: from the plan to named events and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from riskml.data.simulator.almanac import TIME_ZONES
from riskml.data.simulator.blocks import EventBlock, join_blocks
from riskml.data.simulator.canvas import Canvas
from riskml.data.simulator.confounders import CONFOUNDERS
from riskml.data.simulator.day_state import HOUR, make_day_state
from riskml.data.simulator.endpoints import PLACES
from riskml.data.simulator.incidents import Attacks
from riskml.data.simulator.people import account_names
from riskml.data.simulator.randomness import Integers, generator, hashed, hashed_uniform
from riskml.data.simulator.scenarios import AttackDay, scenario_named
from riskml.data.simulator.sessions import ordinary_events
from riskml.data.simulator.vocabulary import ACTION_NAMES, LOGOFF, RESOURCE_KINDS

MICROSECONDS = 1_000_000
DAY_LENGTH = 86_400 * MICROSECONDS
_MISSING, _LATE = 0.003, 0.005
_OUTAGE_FAILURE, _OUTAGE_MISSING = 0.35, 0.30
_SERVED_KINDS = ("file", "table", "repository")


def incident_name(number: int) -> str:
    """Return the ``incident_id`` of an incident."""
    return f"incident-{number:05d}"


@dataclass(frozen=True)
class _Column:
    """A column of names, looked up by code."""

    names: pl.Series

    def take(self, codes: Integers | pl.Series) -> pl.Series:
        return self.names.gather(pl.Series(codes))


class DayMaker:
    """Makes the days of one world, in any order.

    Args:
        attacks: the world's plan with its incidents.
    """

    def __init__(self, attacks: Attacks) -> None:
        """Prepare the names that every day needs."""
        self.attacks = attacks
        self.plan = attacks.plan
        plan = self.plan
        seed = plan.settings.seed
        self.epoch = (
            int(datetime.combine(plan.settings.first_day, datetime.min.time(), UTC).timestamp())
            * MICROSECONDS
        )
        endpoints = plan.endpoints
        place = np.asarray(PLACES)[endpoints.place].tolist()
        zones = np.asarray(TIME_ZONES)[plan.people.zone].tolist()
        self.user_names = _Column(pl.Series(account_names(plan.people.count)))
        self.action_names = _Column(pl.Series(list(ACTION_NAMES)))
        self.resource_names = _Column(pl.Series(list(plan.resources.names)))
        self.device_names = _Column(pl.Series(list(endpoints.device_names)))
        self.address_names = _Column(pl.Series(list(endpoints.address_names)))
        self.place_names = _Column(pl.Series(place))
        self.zone_names = _Column(pl.Series(zones))
        codes = np.arange(len(endpoints.device_names))
        # Most clocks are right to two seconds, a few are minutes off.
        skew = 2.0 * (hashed_uniform(seed, "clock skew", codes) - 0.5) * 2.0
        wrong = hashed_uniform(seed, "wrong clock", codes) < 0.01
        self.clock_skew = np.where(wrong, 90.0 * skew, skew)
        self.server = _servers(attacks)
        self._days: dict[int, tuple[EventBlock, Integers]] = {}

    def events_of(self, day: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the events of one UTC day, ordered by time, and the labels of the attacks' ones.

        Args:
            day: index of the day, from 0.

        Returns:
            The events (see ``simulate`` for the columns) and the labels: event_id, incident_id,
            scenario, phase.
        """
        begin = self.epoch + day * DAY_LENGTH
        parts, clocks, locals_ = [], [], []
        for local in range(max(day - 1, 0), min(day + 2, self.plan.settings.days)):
            block, clock = self._local_day(local)
            rows = np.flatnonzero((clock >= begin) & (clock < begin + DAY_LENGTH))
            parts.append(_rows(block, rows))
            clocks.append(clock[rows])
            locals_.append(np.full(len(rows), local))
        # What the next day shares with this one is kept, and nothing else.
        for other in [key for key in self._days if key not in (day, day + 1)]:
            del self._days[other]
        block, clock, local_day = (
            join_blocks(parts),
            np.concatenate(clocks),
            np.concatenate(locals_),
        )
        order = np.lexsort((block.action, block.user, clock))
        return self._frames(day, _rows(block, order), clock[order], local_day[order])

    def _local_day(self, day: int) -> tuple[EventBlock, Integers]:
        """Return what everybody does on a local day, with UTC microseconds."""
        if day in self._days:
            return self._days[day]
        plan, seed = self.plan, self.plan.settings.seed
        state = make_day_state(plan, day)
        blocks = [ordinary_events(state, generator(seed, "ordinary events", day))]
        if plan.settings.confounder_scale > 0:
            for confounder in CONFOUNDERS:
                canvas = Canvas(state, generator(seed, confounder.name, day))
                users = confounder.who(canvas, plan.settings.confounder_scale)
                confounder.paint(canvas, users)
                blocks.extend(canvas.blocks)
        for incident in self.attacks.by_day.get(day, ()):
            scenario = scenario_named(incident.scenario)
            canvas = Canvas(state, generator(seed, "attack", incident.number, day))
            scenario.act(AttackDay(incident, canvas, plan.settings.effect_size, scenario.phases))
            blocks.extend(canvas.blocks)
        block = join_blocks(blocks)

        offset = plan.almanac.utc_offset[plan.people.zone, day]
        seconds = day * 86_400.0 + block.time - offset[block.user] + self.clock_skew[block.device]
        clock = self.epoch + np.floor(seconds * MICROSECONDS).astype(np.int64)
        block, clock = self._disturbed(day, block, clock)
        self._days[day] = block, clock
        return block, clock

    def _disturbed(
        self, day: int, block: EventBlock, clock: Integers
    ) -> tuple[EventBlock, Integers]:
        """Lose a few records, more in an outage, in which much fails too."""
        draw = generator(self.plan.settings.seed, "records", day)
        lost = draw.random(len(block)) < _MISSING
        success = block.success
        outage = self.plan.mass_events.outages.get(day)
        if outage is not None:
            hour = (clock - self.epoch) / (3_600 * MICROSECONDS) - day * 24
            within = (hour >= outage[0]) & (hour < outage[1])
            lost |= within & (draw.random(len(block)) < _OUTAGE_MISSING)
            success = success & ~(within & (draw.random(len(block)) < _OUTAGE_FAILURE))
        rows = np.flatnonzero(~lost)
        kept = _rows(block, rows)
        return EventBlock(**{**kept.__dict__, "success": success[rows]}), clock[rows]

    def _frames(
        self, day: int, block: EventBlock, clock: Integers, local_day: Integers
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Give names to codes."""
        plan = self.plan
        draw = generator(plan.settings.seed, "arrival", day)
        delay = draw.exponential(3.0, len(block)) + np.where(
            draw.random(len(block)) < _LATE, draw.uniform(1.0, 30.0, len(block)) * HOUR, 0.0
        )
        date = plan.almanac.dates[day].strftime("%Y%m%d")
        touched = np.flatnonzero(block.resource >= 0)
        # A resource is called by its name of the local day.
        name_row = np.full(len(block), -1, dtype=np.int64)
        for local in np.unique(local_day):
            here = touched[local_day[touched] == local]
            name_row[here] = plan.resources.name_index(block.resource[here], int(local))
        server = np.where(block.resource >= 0, self.server[block.resource], -1)
        server_row = np.where(
            server >= 0, plan.resources.name_index(np.maximum(server, 0), day), -1
        )
        microseconds = pl.Datetime("us", "UTC")
        # Not every record has every field.
        known = block.action != LOGOFF
        sized = block.size > 0
        events = pl.DataFrame(
            {
                "event_id": pl.Series(np.arange(len(block))),
                "user_id": self.user_names.take(block.user),
                "timestamp": pl.Series(clock).cast(microseconds),
                "action": self.action_names.take(block.action),
                "resource": self.resource_names.take(_nullable(name_row)),
                "source": self.device_names.take(block.device),
                "success": pl.Series(block.success).set(pl.Series(~known), None),
                "ip": self.address_names.take(block.address),
                "place": self.place_names.take(block.address),
                "host": self.resource_names.take(_nullable(server_row)),
                "bytes": pl.Series(block.size.astype(np.int64)).set(pl.Series(~sized), None),
                "time_zone": self.zone_names.take(block.user),
                "ingested_at": pl.Series(clock + (delay * MICROSECONDS).astype(np.int64)).cast(
                    microseconds
                ),
            }
        ).with_columns(
            event_id=pl.lit(f"{date}-") + pl.col("event_id").cast(pl.String).str.zfill(7)
        )
        return events, self._labels(events, block)

    def _labels(self, events: pl.DataFrame, block: EventBlock) -> pl.DataFrame:
        rows = np.flatnonzero(block.incident >= 0)
        incidents = [self.attacks.incidents[number] for number in block.incident[rows]]
        phases = [
            scenario_named(incident.scenario).phases[phase]
            for incident, phase in zip(incidents, block.phase[rows], strict=True)
        ]
        return pl.DataFrame(
            {
                # A list, since a gathered series would keep the whole day's strings in memory.
                "event_id": events["event_id"].gather(pl.Series(rows, dtype=pl.UInt32)).to_list(),
                "incident_id": [incident_name(incident.number) for incident in incidents],
                "scenario": [incident.scenario for incident in incidents],
                "phase": phases,
            },
            schema=dict.fromkeys(("event_id", "incident_id", "scenario", "phase"), pl.String),
        )


def _nullable(codes: Integers) -> pl.Series:
    """Return codes in which -1 has become null."""
    return pl.Series(codes).set(pl.Series(codes < 0), None)


def _rows(block: EventBlock, rows: Integers) -> EventBlock:
    return EventBlock(**{name: values[rows] for name, values in block.__dict__.items()})


def _servers(attacks: Attacks) -> Integers:
    """Return the code of the host that serves each resource, or -1."""
    resources = attacks.plan.resources
    host = RESOURCE_KINDS.index("host")
    first, last = resources.first_code[host], resources.first_code[host + 1]
    codes = np.arange(resources.count)
    bits = hashed(resources.seed, "server", codes) % np.uint64(30)
    server = np.full(resources.count, -1, dtype=np.int64)
    for kind in (RESOURCE_KINDS.index(name) for name in _SERVED_KINDS):
        here = slice(int(resources.first_code[kind]), int(resources.first_code[kind + 1]))
        server[here] = first + bits[here].astype(np.int64)
    server[first:last] = codes[first:last]
    return server
