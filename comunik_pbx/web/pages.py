"""How a page is made: whose it is, in which language, from which template."""

import hashlib
import hmac
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from babel.dates import format_datetime
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from comunik_pbx.accounts.account import Account, Role, Session, Theme, session_ended
from comunik_pbx.forwarding.directory import Extension
from comunik_pbx.web.cookies import session_cookie
from comunik_pbx.web.guide import SECTIONS
from comunik_pbx.web.languages import LANGUAGES, N_, NAMES, Gettext, gettext, preferred, translations
from comunik_pbx.web.needs import Needs
from comunik_pbx.web.showing import shown_number

HERE = Path(__file__).parent
STATIC = HERE / "static"
SEEN_EVERY = timedelta(minutes=5)

MENU = [
    ("/forwarding", N_("Call forwarding")),
    ("/keypad", N_("Keypad")),
    ("/profile", N_("Profile")),
    ("/preferences", N_("Preferences")),
    ("/security", N_("Security")),
]

DONE = {
    "forwarding": N_("Your forwarding is changed. It is in force for the next call."),
    "proven": N_("The number is verified and your forwarding is changed. It is in force for the next call."),
    "preferences": N_("Your preferences are saved."),
    "password": N_("Your password is changed. All other sessions have ended."),
    "sessions": N_("That session has ended."),
    "profile": N_("Your profile is saved."),
    "photo": N_("Your photo is changed."),
    "number": N_("The list is changed. It counts for the next change of a rule, and the next call."),
    "welcome": N_("Welcome. Your password is set."),
}
"""What a page says after something was done, by the word in its address (`?done=`)."""


class Away(Exception):
    """Who asks must go elsewhere: to the sign-in page, for instance."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


class NotAllowed(Exception):
    """Who asks may not: 403."""


class NotFound(Exception):
    """There is no such thing: 404."""


@cache
def static_version() -> str:
    """Changes with the content of any static file, so that browsers may keep them for ever."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.rglob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@cache
def environment(language: str) -> jinja2.Environment:
    """The templates in one language."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals["static"] = lambda name: f"/static/{static_version()}/{name}"
    return made


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page, signed in or not yet."""

    request: Request
    needs: Needs
    session: Session | None = None
    account: Account | None = None
    csrf: str = ""

    @property
    def address(self) -> str:
        """Where he comes from."""
        return self.request.client.host[:64] if self.request.client else ""

    @property
    def language(self) -> str:
        """His language: his own choice, else his extension's, else his browser's, else the company's."""
        if self.account is not None:
            if self.account.language in LANGUAGES:
                return self.account.language or "en"
            if (extension := self.needs.rules.directory().extensions.get(self.account.name)) is not None:
                return extension.language
        return preferred(self.request.headers.get("accept-language", ""), self.needs.language)

    @property
    def text(self) -> Gettext:
        """How to say something to him."""
        return gettext(self.language)

    @property
    def moment(self) -> datetime:
        """Now."""
        return self.needs.clock()

    def date(self, when: datetime | None) -> str:
        """A moment as he reads it, in the PBX's time zone."""
        if when is None:
            return ""
        shape = "d MMMM y 'à' HH:mm" if self.language == "fr" else "d MMMM y, HH:mm"
        return format_datetime(when.astimezone(), shape, locale=self.language)

    def number(self, number: str) -> str:
        """A telephone number as he reads it."""
        return shown_number(number, self.needs.rules.directory().numbers.country)

    def _menu(self) -> list[tuple[str, str]]:
        """Address and name of the pages he has."""
        if self.account is None:
            return []
        mine = self.account.name in self.needs.rules.directory().extensions
        pages = [(place, name) for place, name in MENU if mine or place in ("/preferences", "/security")]
        if self.account.role is Role.ADMIN:
            pages.append(("/admin", N_("Administration")))
        return [(place, self.text(name)) for place, name in pages]

    def _help_place(self) -> str:
        """Where the guide explains this page: `#keypad`."""
        page = self.request.url.path.split("/")[1]
        return f"#{page}" if page in SECTIONS else ""

    def show(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A page."""
        done = self.request.query_params.get("done", "")
        values: Mapping[str, Any] = {
            "visitor": self,
            "account": self.account,
            "language": self.language,
            "languages": NAMES,
            "theme": (self.account.theme if self.account else Theme.SYSTEM).value,
            "csrf": self.csrf,
            "date": self.date,
            "number": self.number,
            "path": self.request.url.path,
            "said": self.text(DONE[done]) if done in DONE else "",
            "menu": self._menu(),
            "help_place": self._help_place(),
        }
        page = environment(self.language).get_template(template).render({**values, **context})
        headers = {"vary": "cookie, accept-language", "content-language": self.language}
        return HTMLResponse(page, status, headers)


@dataclass(frozen=True)
class Person(Visitor):
    """Somebody signed in."""

    @property
    def who(self) -> Account:
        """His account."""
        assert self.account is not None  # noqa: S101
        return self.account

    @property
    def here(self) -> Session:
        """His session."""
        assert self.session is not None  # noqa: S101
        return self.session


@dataclass(frozen=True)
class Member(Person):
    """Somebody signed in who has an extension: these pages are about it."""

    @property
    def extension(self) -> Extension:
        """His extension."""
        return self.needs.rules.directory().extensions[self.who.name]


@dataclass(frozen=True)
class Admin(Person):
    """Somebody signed in who may see everybody."""


def session_id(secret: str) -> str:
    """What is kept of a cookie's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_token(secret: str) -> str:
    """What a form must bring: only who has the cookie, or a page made for it, knows it."""
    return hmac.new(secret.encode(), b"comunik csrf", hashlib.sha256).hexdigest()


async def visitor(request: Request) -> Visitor:
    """Whoever asks."""
    needs: Needs = request.app.state.needs
    secret = request.cookies.get(session_cookie(request, needs), "")
    if not 20 <= len(secret) <= 100:
        return Visitor(request, needs)
    found = await needs.accounts.session(session_id(secret))
    if found is None:
        return Visitor(request, needs)
    session, account = found
    now = needs.clock()
    exists = account.role is Role.ADMIN or account.name in needs.rules.directory().extensions
    if session_ended(session, now) or not exists or account.password_hash is None:
        return Visitor(request, needs)
    made = Person(request, needs, session, account, csrf_token(secret))
    if now - session.seen_at > SEEN_EVERY:
        await needs.accounts.seen(session.id, now, made.address)
    return made


async def person(request: Request, who: Visitor = Depends(visitor)) -> Person:
    """Somebody signed in; others are sent to the sign-in page and come back."""
    if isinstance(who, Person):
        return who
    back = request.url.path if request.method == "GET" else "/"
    raise Away("/sign-in" + (f"?next={quote(back)}" if back != "/" else ""))


async def member(who: Person = Depends(person)) -> Member:
    """Somebody with an extension; an administrator without one has other pages."""
    if who.who.name not in who.needs.rules.directory().extensions:
        raise Away("/admin")
    return Member(who.request, who.needs, who.session, who.account, who.csrf)


async def admin(who: Person = Depends(person)) -> Admin:
    """An administrator."""
    if who.who.role is not Role.ADMIN:
        raise NotAllowed
    return Admin(who.request, who.needs, who.session, who.account, who.csrf)


async def form(request: Request, who: Person = Depends(person)) -> AsyncGenerator[FormData, None]:
    """What a form brought, from a page that we made for this session."""
    async with request.form(max_files=1, max_fields=50) as sent:
        token = sent.get("csrf")
        if not isinstance(token, str) or not hmac.compare_digest(token.encode(), who.csrf.encode()):
            raise NotAllowed
        yield sent


def word(sent: FormData, name: str, most: int = 200) -> str:
    """One field as text, without the spaces around it; empty if it is missing. Longer than `most` is cut."""
    return secret_word(sent, name).strip()[:most]


def secret_word(sent: FormData, name: str) -> str:
    """One field as it was typed; empty if it is missing. Halves of surrogate pairs, which no text has, become `?`."""
    value = sent.get(name)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def go(to: str) -> Response:
    """See another page next (303): a reload repeats nothing."""
    return RedirectResponse(to, status_code=303)


def utc_now() -> datetime:
    """The moment, aware."""
    return datetime.now(UTC)
