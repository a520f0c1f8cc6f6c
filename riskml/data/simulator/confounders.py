"""Benign odd days: what is rare and legitimate, so that rare does not mean malicious."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from riskml.data.simulator.canvas import Canvas
from riskml.data.simulator.randomness import Integers
from riskml.data.simulator.resources import OWN, ROLE
from riskml.data.simulator.roles import ROLE_NAMES

_ADMIN = ROLE_NAMES.index("it_admin")
_PRIVATE = 12


class Confounder(ABC):
    """One kind of benign oddity.

    Attributes:
        name: what it is called in ``world.json``.
        rate: share of active user-days on which it happens.
    """

    name: ClassVar[str]
    rate: ClassVar[float]

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return the accounts to which it happens on a day."""
        state = canvas.state
        happens = canvas.draw.random(len(state.active)) < self.rate * scale
        return np.flatnonzero(happens & state.active & ~state.plan.people.service)

    @abstractmethod
    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Add its events for these accounts."""


def _amount(canvas: Canvas, users: Integers, median: float, spread: float = 0.6) -> Integers:
    """Return a log-normal number of events for each user, at least 1."""
    return np.maximum(
        np.rint(median * canvas.draw.lognormal(0.0, spread, len(users))).astype(np.int64), 1
    )


def _some(canvas: Canvas, users: Integers, share: float) -> Integers:
    return users[canvas.draw.random(len(users)) < share]


class BulkExport(Confounder):
    """A report, a backup or a hand-over: many copies at once, all of it one's own business."""

    name, rate = "bulk_export", 0.010

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Copy, download or export, sometimes in the evening."""
        at = canvas.during_work(users, 60)
        late = canvas.draw.random(len(users)) < 0.2
        at = np.where(late, canvas.after_work(users, 0.2, 3.0), at)
        choice = canvas.draw.integers(0, 4, len(users))
        for code, action in enumerate(("file_copy", "download", "db_export", "upload")):
            chosen = choice == code
            amounts = _amount(canvas, users[chosen], 22 if action == "file_copy" else 9)
            canvas.paint(
                action, users[chosen], amounts, at[chosen], 45, reach=(0.6, 0.35, 0.05), size=2.5
            )


class LateDeadline(Confounder):
    """Work into the night."""

    name, rate = "late_deadline", 0.010

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Add an evening session."""
        canvas.work(users, _amount(canvas, users, 16), canvas.after_work(users, 0.8, 4.5))


class ProjectStart(Confounder):
    """The first days of a project (or of a reorganised team): new resources, all at once."""

    name, rate = "project_start", 0.0

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return whose project begins today, or began within three days."""
        plan, day = canvas.state.plan, canvas.state.day
        recent = plan.new_project[:, max(day - 2, 0) : day + 1].any(axis=1)
        return np.flatnonzero(recent & canvas.state.active)

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Read into the new material."""
        at = canvas.during_work(users, 120)
        canvas.paint("file_open", users, _amount(canvas, users, 5), at, 110, reach=(0.4, 0.4, 0.2))
        asking = _some(canvas, users, 0.4)
        canvas.paint("db_query", asking, 3, canvas.during_work(asking), 60, reach=(0.4, 0.4, 0.2))
        shared = _some(canvas, users, 0.35)
        canvas.paint("share_change", shared, 2, canvas.during_work(shared), 30)


class NewLaptop(Confounder):
    """The day of a new computer: its code is new from here on, and things are copied over."""

    name, rate = "new_laptop", 0.0

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return who gets one today."""
        return np.flatnonzero(canvas.state.plan.new_laptop[:, canvas.state.day])

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Copy one's files over, and mistype the password on the new keyboard."""
        at = canvas.during_work(users, 60)
        canvas.paint("file_copy", users, _amount(canvas, users, 4), at, 50, reach=OWN)
        slips = _some(canvas, users, 0.3)
        canvas.paint("logon", slips, 1, canvas.state.start[slips] - 60, 1, success=False)


class AuditBrowsing(Confounder):
    """A review: many documents all over the organisation, sensitive ones too, only read."""

    name, rate = "audit_browsing", 0.005

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Read widely."""
        at = canvas.during_work(users, 180)
        canvas.paint("file_open", users, _amount(canvas, users, 12), at, 170, reach=(0, 0.4, 0.6))
        canvas.paint("db_query", users, _amount(canvas, users, 3), at, 170, reach=(0, 0.4, 0.6))
        secret = _some(canvas, users, 0.5)
        canvas.paint(
            "file_open",
            secret,
            4,
            canvas.during_work(secret, 60),
            60,
            resources=canvas.sensitive("file"),
        )


class MemoryStick(Confounder):
    """A stick for a customer, a printer, a lecture."""

    name, rate = "memory_stick", 0.005

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Plug it in and copy."""
        at = canvas.during_work(users, 20)
        canvas.paint("usb_connect", users, 1, at, 1)
        canvas.paint(
            "usb_copy", users, _amount(canvas, users, 5, 0.8), at + 60, 15, reach=(0.75, 0.2, 0.05)
        )


class ForgottenPassword(Confounder):
    """Wrong passwords in a row, often ended by a reset."""

    name, rate = "forgotten_password", 0.004

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Fail, and ask for a new one."""
        at = np.where(
            canvas.draw.random(len(users)) < 0.5,
            canvas.state.start[users] - 300,
            canvas.during_work(users),
        )
        canvas.paint("logon", users, _amount(canvas, users, 4, 0.4), at, 4, success=False)
        resets = canvas.draw.random(len(users)) < 0.6
        canvas.paint("password_reset", users[resets], 1, at[resets] + 270, 2)


class Exploration(Confounder):
    """Curiosity, a new task, help for another team: resources never touched before."""

    name, rate = "exploration", 0.06

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Look around."""
        at = canvas.during_work(users, 90)
        action = canvas.draw.integers(0, 4, len(users))
        for code, name in enumerate(("file_open", "web_visit", "db_query", "file_open")):
            chosen = action == code
            canvas.paint(
                name,
                users[chosen],
                _amount(canvas, users[chosen], 5),
                at[chosen],
                80,
                reach=(0, 0.4, 0.6),
            )


class BorrowedComputer(Confounder):
    """A logon from a colleague's or, for those who do that, from one's own private computer."""

    name, rate = "borrowed_computer", 0.006

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return who borrows one today, and who of those with a habit uses the private one."""
        state = canvas.state
        habit = np.arange(len(state.active)) % _PRIVATE == 0
        rate = np.where(habit, 0.06, self.rate) * scale
        happens = canvas.draw.random(len(state.active)) < rate
        return np.flatnonzero(happens & state.active & ~state.plan.people.service)

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Work a little on a device that is not one's own."""
        state, draw = canvas.state, canvas.draw
        lender = draw.integers(0, len(state.active), len(users))
        private = (users % _PRIVATE == 0) | (draw.random(len(users)) < 0.12)
        strange = state.plan.endpoints.stranger(users * 7)
        device = np.where(private, strange, state.device[lender])
        outside = draw.random(len(users)) < 0.35
        address = np.where(private & outside, strange, state.address[users])
        at = np.where(private, canvas.after_work(users, -4.0, 4.0), canvas.during_work(users))
        canvas.work(users, _amount(canvas, users, 7), at, 2.0, device=device, address=address)


class InternetNoise(Confounder):
    """Passwords tried from outside on whatever account, by the same few scanners, in vain."""

    name, rate = "internet_noise", 0.004

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Fail once or twice, at any hour, from an unknown device."""
        draw = canvas.draw
        strange = canvas.state.plan.endpoints.stranger(draw.integers(0, 25, len(users)))
        canvas.paint(
            "logon",
            users,
            draw.integers(1, 4, len(users)),
            draw.uniform(0, 86_000, len(users)),
            3,
            device=strange,
            address=strange,
            success=False,
        )


class Maintenance(Confounder):
    """Administrators (and now and then somebody else) on machines they seldom see."""

    name, rate = "maintenance", 0.009

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return mostly administrators."""
        state = canvas.state
        rate = np.where(state.role == _ADMIN, 7 * self.rate, 0.7 * self.rate) * scale
        happens = canvas.draw.random(len(state.active)) < rate
        return np.flatnonzero(happens & state.active & ~state.plan.people.service)

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Log on here and there, and run commands."""
        at = np.where(
            canvas.draw.random(len(users)) < 0.25,
            canvas.after_work(users, 0.5, 4),
            canvas.during_work(users, 60),
        )
        canvas.paint(
            "remote_logon", users, _amount(canvas, users, 4), at, 50, reach=(0.2, 0.4, 0.4)
        )
        canvas.paint(
            "admin_command", users, _amount(canvas, users, 4), at + 60, 60, reach=(0.2, 0.4, 0.4)
        )
        rights = _some(canvas, users, 0.3)
        canvas.paint("privilege_change", rights, 1, canvas.during_work(rights), 5, reach=ROLE)


class OnCall(Confounder):
    """Alarms at night for those who are on call."""

    name, rate = "on_call", 0.0

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return whose pager rings."""
        state = canvas.state
        rings = canvas.draw.random(len(state.active)) < 0.5
        return np.flatnonzero(state.plan.on_call[:, state.day] & state.active & rings)

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Get up, look, repair."""
        at = canvas.after_work(users, 2.0, 9.0)
        canvas.work(users, _amount(canvas, users, 6), at, 2.5)
        fixers = canvas.draw.random(len(users)) < 0.5
        canvas.paint("remote_logon", users[fixers], 1, at[fixers] + 120, 5, reach=(0.4, 0.5, 0.1))
        canvas.paint(
            "admin_command",
            users[fixers],
            _amount(canvas, users[fixers], 3),
            at[fixers] + 180,
            25,
            reach=(0.4, 0.5, 0.1),
        )


class HandOver(Confounder):
    """The last two weeks of those who leave: files are sorted, copied and passed on."""

    name, rate = "hand_over", 0.0

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return who tidies up today."""
        state = canvas.state
        ahead = state.plan.people.left - state.day
        today = canvas.draw.random(len(state.active)) < 0.4 * min(scale, 2.0)
        return np.flatnonzero((ahead > 0) & (ahead <= 14) & state.active & today)

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Copy, delete, share."""
        at = canvas.during_work(users, 90)
        canvas.paint("file_copy", users, _amount(canvas, users, 5), at, 80, reach=(0.8, 0.2, 0))
        canvas.paint("file_delete", users, _amount(canvas, users, 3), at, 80, reach=OWN)
        canvas.paint("share_change", users, _amount(canvas, users, 2), at, 80, reach=OWN)


class SharedProject(Confounder):
    """Material sent to or fetched for a partner outside."""

    name, rate = "shared_project", 0.012

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Send or upload, some of it to new addresses."""
        at = np.where(
            canvas.draw.random(len(users)) < 0.2,
            canvas.after_work(users, 0.2, 3.0),
            canvas.during_work(users, 60),
        )
        choice = canvas.draw.random(len(users)) < 0.5
        canvas.paint(
            "email_external",
            users[choice],
            _amount(canvas, users[choice], 5),
            at[choice],
            60,
            reach=(0.4, 0.3, 0.3),
            size=2.0,
        )
        canvas.paint(
            "upload",
            users[~choice],
            _amount(canvas, users[~choice], 4),
            at[~choice],
            60,
            reach=(0.3, 0.3, 0.4),
            size=2.0,
        )


CONFOUNDERS: tuple[Confounder, ...] = (
    BulkExport(),
    LateDeadline(),
    ProjectStart(),
    NewLaptop(),
    AuditBrowsing(),
    MemoryStick(),
    ForgottenPassword(),
    Exploration(),
    BorrowedComputer(),
    InternetNoise(),
    Maintenance(),
    OnCall(),
    HandOver(),
    SharedProject(),
)
"""Every benign oddity, in the order in which they are painted."""
