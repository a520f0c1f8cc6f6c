"""Odd days that come with the work: exports, deadlines, projects, audits, hand-overs."""

from __future__ import annotations

import numpy as np

from riskml.data.simulator.canvas import Canvas
from riskml.data.simulator.confounders.base import Confounder, amount, some
from riskml.data.simulator.randomness import Integers
from riskml.data.simulator.resources import OWN


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
            amounts = amount(canvas, users[chosen], 22 if action == "file_copy" else 9)
            canvas.paint(
                action, users[chosen], amounts, at[chosen], 45, reach=(0.6, 0.35, 0.05), size=2.5
            )


class LateDeadline(Confounder):
    """Work into the night."""

    name, rate = "late_deadline", 0.010

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Add an evening session."""
        canvas.work(users, amount(canvas, users, 16), canvas.after_work(users, 0.8, 4.5))


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
        canvas.paint("file_open", users, amount(canvas, users, 5), at, 110, reach=(0.4, 0.4, 0.2))
        asking = some(canvas, users, 0.4)
        canvas.paint("db_query", asking, 3, canvas.during_work(asking), 60, reach=(0.4, 0.4, 0.2))
        shared = some(canvas, users, 0.35)
        canvas.paint("share_change", shared, 2, canvas.during_work(shared), 30)


class AuditBrowsing(Confounder):
    """A review: many documents all over the organisation, sensitive ones too, only read."""

    name, rate = "audit_browsing", 0.005

    def paint(self, canvas: Canvas, users: Integers) -> None:
        """Read widely."""
        at = canvas.during_work(users, 180)
        canvas.paint("file_open", users, amount(canvas, users, 12), at, 170, reach=(0, 0.4, 0.6))
        canvas.paint("db_query", users, amount(canvas, users, 3), at, 170, reach=(0, 0.4, 0.6))
        secret = some(canvas, users, 0.5)
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
            "usb_copy", users, amount(canvas, users, 5, 0.8), at + 60, 15, reach=(0.75, 0.2, 0.05)
        )


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
                amount(canvas, users[chosen], 5),
                at[chosen],
                80,
                reach=(0, 0.4, 0.6),
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
        canvas.paint("file_copy", users, amount(canvas, users, 5), at, 80, reach=(0.8, 0.2, 0))
        canvas.paint("file_delete", users, amount(canvas, users, 3), at, 80, reach=OWN)
        canvas.paint("share_change", users, amount(canvas, users, 2), at, 80, reach=OWN)


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
            amount(canvas, users[choice], 5),
            at[choice],
            60,
            reach=(0.4, 0.3, 0.3),
            size=2.0,
        )
        canvas.paint(
            "upload",
            users[~choice],
            amount(canvas, users[~choice], 4),
            at[~choice],
            60,
            reach=(0.3, 0.3, 0.4),
            size=2.0,
        )
