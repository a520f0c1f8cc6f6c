"""The application: signing in, the queue, an alert, verdicts."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from math import ceil
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.feedback import FeedbackStore
from riskml.alerting.links import OFFERED, PATH, LinkError, Links, Offer
from riskml.alerting.page.answers import Secured, Templates, static
from riskml.alerting.page.looking import Events, Risks, happened, look
from riskml.alerting.page.people import People, Role
from riskml.alerting.page.queue import STATES, Chances, Filter, Queue, whole_number
from riskml.alerting.page.sessions import Attempts, Sessions
from riskml.alerting.page.veil import Veils
from riskml.alerting.page.visits import Door, Visit, cookie_name, posted, told
from riskml.alerting.states import AlertState, Severity, may_become
from riskml.alerting.verdicts import give_verdict
from riskml.core.errors import ConfigError
from riskml.core.pseudonyms import Pseudonyms

SIGN_IN = "riskml_sign_in"
"""Cookie that a form for signing in has to fit."""

ALERT_PATH = re.compile(r"/alerts(/[0-9a-f]{1,64})?")
MOST_REASON = 500


@dataclass(frozen=True)
class PageSettings:
    """What the page works with.

    Args:
        log: of alerts.
        people: who may sign in.
        pseudonyms: shown for users.
        store: of verdicts, None: only states change.
        links: of mails, None: there are none.
        chances: of the triage.
        risks: over time; None: those of raised windows alone.
        events: of users; None: the page says how to show them.
        session: how long somebody stays signed in.
    """

    log: AlertLog
    people: People
    pseudonyms: Pseudonyms
    store: FeedbackStore | None = None
    links: Links | None = None
    chances: Chances | None = None
    risks: Risks | None = None
    events: Events | None = None
    session: timedelta = timedelta(hours=8)


class Page:
    """Serves the pages.

    Args:
        settings: what it works with.
    """

    def __init__(self, settings: PageSettings) -> None:
        self.settings, self.templates = settings, Templates()
        self.sessions, self.attempts = Sessions(settings.people, settings.session), Attempts()
        self.queue_of = Queue(settings.log, settings.chances)
        self._veils = Veils(settings.log, settings.pseudonyms)

    # ---- signing in and out

    async def sign_in_form(self, request: Request) -> Response:
        """GET /login."""
        return self._sign_in_page(request, request.query_params.get("next", ""))

    async def sign_in(self, request: Request) -> Response:
        """POST /login."""
        form = await posted(request)
        given, kept = form.get("csrf", ""), request.cookies.get(SIGN_IN, "")
        where = _inside(form.get("next", ""))
        if not kept or not hmac.compare_digest(given.encode(), kept.encode()):
            wrong = "Please try again: the form had grown old."
            return self._sign_in_page(request, where, wrong)
        address = request.client.host if request.client else ""
        if wait := self.attempts.wait(address):
            detail = f"Too many attempts failed. Wait {ceil(wait / 60)} min and try again."
            headers = {"Retry-After": f"{wait:.0f}"}
            raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, detail, headers)
        person = self.settings.people.with_token(form.get("token", ""))
        if person is None:
            self.attempts.failed(address)
            wrong = "This token is not known."
            return self._sign_in_page(request, where, wrong, HTTPStatus.FORBIDDEN)
        answer = RedirectResponse(where, HTTPStatus.SEE_OTHER)
        lasts, is_https = self.settings.session, request.url.scheme == "https"
        answer.set_cookie(
            cookie_name(request),
            self.sessions.begin(person),
            max_age=int(lasts.total_seconds()),
            secure=is_https,
            httponly=True,
            samesite="strict",
        )
        answer.delete_cookie(SIGN_IN, "/login")
        return answer

    def sign_out(self, visit: Visit) -> Response:
        """POST /logout."""
        self.sessions.end(visit.session)
        answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        secure = visit.request.url.scheme == "https"
        answer.delete_cookie(cookie_name(visit.request), secure=secure, httponly=True)
        return answer

    def _sign_in_page(
        self, request: Request, where: str, wrong: str = "", status: int = HTTPStatus.OK
    ) -> Response:
        """The form.

        Args:
            request: that is answered.
            where: to go on to.
            wrong: what was, before.
            status: of the answer.
        """
        csrf = secrets.token_urlsafe(32)
        about = {"csrf": csrf, "next": _inside(where), "wrong": wrong}
        answer = self.templates.answer("login.html.j2", status, **about)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            SIGN_IN, csrf, 3600, path="/login", secure=secure, httponly=True, samesite="strict"
        )
        return answer

    # ---- looking

    def queue(self, visit: Visit) -> Response:
        """GET /alerts."""
        asked = visit.request.query_params
        wanted = Filter.of(*(asked.get(name, "") for name in ("state", "least", "page")))
        found = self.queue_of.page(wanted)
        return self._page(visit, "queue.html.j2", found=found, states=STATES, severities=Severity)

    def alert(self, visit: Visit) -> Response:
        """GET /alerts/ALERT."""
        self._must_be_there(visit.alert_id)
        found = look(self.settings.log, self.queue_of, self.settings.risks, visit.alert_id)
        has_events = self.settings.events is not None
        return self._page(visit, "alert.html.j2", found=found, has_events=has_events)

    def events(self, visit: Visit) -> Response:
        """GET /alerts/ALERT/events."""
        self._must_be_there(visit.alert_id)
        if self.settings.events is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "The page was started without --events.")
        wanted = whole_number(visit.request.query_params.get("window", ""))
        history = self.settings.log.history(visit.alert_id)
        found = happened(self.settings.events, history, wanted)
        return self._page(visit, "events.html.j2", found=found, alert_id=visit.alert_id)

    # ---- deciding

    def verdict(self, visit: Visit) -> Response:
        """POST /alerts/ALERT/verdict."""
        self._must_be_there(visit.alert_id)
        self._give(visit.alert_id, visit.form, visit.session.person.name)
        return RedirectResponse(f"/alerts/{visit.alert_id}", HTTPStatus.SEE_OTHER)

    def unveil(self, visit: Visit) -> Response:
        """POST /alerts/ALERT/unveil."""
        self._must_be_there(visit.alert_id)
        why = _reason(visit.form)
        if not why:
            raise HTTPException(HTTPStatus.CONFLICT, "Say why: the trail keeps it.")
        self.settings.log.unveil(visit.alert_id, visit.session.person.name, why)
        visit.session.unveiled.add(visit.alert_id)
        return RedirectResponse(f"/alerts/{visit.alert_id}", HTTPStatus.SEE_OTHER)

    def _give(self, alert_id: str, form: dict[str, str], who: str) -> None:
        state = form.get("state", "")
        if state not in set(AlertState):
            raise HTTPException(HTTPStatus.CONFLICT, "Choose a verdict.")
        settings = self.settings
        give_verdict(settings.log, alert_id, AlertState(state), who, _reason(form), settings.store)

    # ---- links of mails

    async def link(self, request: Request) -> Response:
        """GET /verdict/LINK: asks whether it is meant; mail scanners follow links, too."""
        return await run_in_threadpool(self._link_page, self._offer(request))

    async def follow(self, request: Request) -> Response:
        """POST /verdict/LINK."""
        offer, form = self._offer(request), await posted(request)
        return await run_in_threadpool(self._follow, offer, form)

    def _offer(self, request: Request) -> Offer:
        if self.settings.links is None:
            detail = "This page knows no links of mails: it was started without RISKML_LINK_KEY."
            raise HTTPException(HTTPStatus.NOT_FOUND, detail)
        try:
            return self.settings.links.open(request.path_params["sealed"])
        except LinkError as error:
            told = str(error)
            detail = f"{told[:1].upper()}{told[1:]}."
            raise HTTPException(HTTPStatus.FORBIDDEN, detail) from error

    def _link_page(self, offer: Offer, done: bool = False) -> Response:
        self._must_be_there(offer.alert_id)
        with told():
            history = self.settings.log.history(offer.alert_id)
            veil = self._veils.veil()
        possible = offer.state in may_become(AlertState(history.alert["state"]))
        return self.templates.answer(
            "link.html.j2",
            history=history,
            veil=veil,
            offer=offer,
            word=OFFERED[offer.state],
            possible=possible,
            done=done,
        )

    def _follow(self, offer: Offer, form: dict[str, str]) -> Response:
        self._must_be_there(offer.alert_id)
        with told():
            why = f"{_reason(form)} (by a link in a mail)".strip()
            self._give(offer.alert_id, {"state": offer.state, "why": why}, offer.who)
        return self._link_page(offer, done=True)

    # ---- steps

    def _page(self, visit: Visit, name: str, **values: Any) -> Response:
        session = visit.session
        veil = self._veils.veil(session.unveiled if session.person.may(Role.ADMIN) else ())
        return self.templates.answer(name, session=session, veil=veil, **values)

    def _must_be_there(self, alert_id: str) -> None:
        with told():
            if not self.settings.log.has(alert_id):
                raise HTTPException(HTTPStatus.NOT_FOUND, "The log has no such alert.")


def make_app(settings: PageSettings) -> ASGIApp:
    """The application; all answers have the security headers."""
    page = Page(settings)
    to = Door(page.sessions).to

    def there(_: Request) -> Response:
        return RedirectResponse("/alerts", HTTPStatus.SEE_OTHER)

    def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    get, post = ["GET"], ["POST"]
    routes = [
        Route("/", there, methods=get),
        Route("/health", health, methods=get),
        Route("/static/{name}", static, methods=get),
        Route("/login", page.sign_in_form, methods=get),
        Route("/login", page.sign_in, methods=post),
        Route("/logout", to(page.sign_out), methods=post),
        Route("/alerts", to(page.queue), methods=get),
        Route("/alerts/{alert_id}", to(page.alert), methods=get),
        Route("/alerts/{alert_id}/events", to(page.events), methods=get),
        Route("/alerts/{alert_id}/verdict", to(page.verdict, Role.ANALYST), methods=post),
        Route("/alerts/{alert_id}/unveil", to(page.unveil, Role.ADMIN), methods=post),
        Route(f"{PATH}{{sealed}}", page.link, methods=get),
        Route(f"{PATH}{{sealed}}", page.follow, methods=post),
    ]
    of_error = page.templates.of_error
    handlers = dict.fromkeys((HTTPException, ConfigError, Exception), of_error)
    return Secured(Starlette(routes=routes, exception_handlers=handlers))


def _reason(form: dict[str, str]) -> str:
    text = form.get("why", "").replace("\0", " ")  # PostgreSQL takes none
    return " ".join(text.split())[:MOST_REASON]


def _inside(path: str) -> str:
    """Where somebody wanted to go, if that is a page of ours."""
    return path if ALERT_PATH.fullmatch(path) else "/alerts"
