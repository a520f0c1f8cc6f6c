"""Odd days that come with getting in: computers, passwords, noise, maintenance, alarms."""

from __future__ import annotations

import numpy as np

from riskml.data.simulator.canvas import Canvas
from riskml.data.simulator.confounders.base import Confounder, amount, some
from riskml.data.simulator.randomness import Integers
from riskml.data.simulator.resources import OWN, ROLE
from riskml.data.simulator.roles import ROLE_NAMES

_ADMIN = ROLE_NAMES.index("it_admin")
# One in so many people works on a private computer now and then.
_PRIVATE = 12


class NewLaptop(Confounder):
    """The day of a new computer: its code is new from here on, and things are copied over."""

    name, rate = "new_laptop", 0.0

    def who(self, canvas: Canvas, scale: float) -> Integers:
        """Return who gets one today."""
        return np.flatnonzero(canvas.state.plan.new_laptop[:, canvas.state.day])

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Copy one's files over, and mistype the password on the new keyboard."""
        at = canvas.during_work(users, 60)
        canvas.paint("file_copy", users, amount(canvas, users, 4), at, 50, reach=OWN)
        slips = some(canvas, users, 0.3)
        canvas.paint("logon", slips, 1, canvas.state.start[slips] - 60, 1, success=False)


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
        canvas.paint("logon", users, amount(canvas, users, 4, 0.4), at, 4, success=False)
        resets = canvas.draw.random(len(users)) < 0.6
        canvas.paint("password_reset", users[resets], 1, at[resets] + 270, 2)


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
        canvas.work(users, amount(canvas, users, 7), at, 2.0, device=device, address=address)


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
        canvas.paint("remote_logon", users, amount(canvas, users, 4), at, 50, reach=(0.2, 0.4, 0.4))
        canvas.paint(
            "admin_command", users, amount(canvas, users, 4), at + 60, 60, reach=(0.2, 0.4, 0.4)
        )
        rights = some(canvas, users, 0.3)
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
        canvas.work(users, amount(canvas, users, 6), at, 2.5)
        fixers = canvas.draw.random(len(users)) < 0.5
        canvas.paint("remote_logon", users[fixers], 1, at[fixers] + 120, 5, reach=(0.4, 0.5, 0.1))
        canvas.paint(
            "admin_command",
            users[fixers],
            amount(canvas, users[fixers], 3),
            at[fixers] + 180,
            25,
            reach=(0.4, 0.5, 0.1),
        )
