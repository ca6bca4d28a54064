"""The portal's application: every route, and what is said when something is wrong."""

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from comunik_pbx.web import (
    admin,
    admin_changes,
    admin_numbers,
    forwarding,
    help,  # noqa: A004
    home,
    keypad,
    preferences,
    profile,
    proving,
    security,
    sign_in,
)
from comunik_pbx.web.api.app import api
from comunik_pbx.web.needs import Needs, Unavailable
from comunik_pbx.web.pages import STATIC, Away, NotAllowed, NotFound, Visitor, static_version, visitor
from comunik_pbx.web.protection import Protection

log = structlog.get_logger(__name__)

PAGES = (
    home,
    sign_in,
    help,
    proving,
    forwarding,
    keypad,
    profile,
    preferences,
    security,
    admin,
    admin_changes,
    admin_numbers,
)


class _Kept(StaticFiles):
    """Static files under an address that changes with them."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """A file that a browser may keep for a year."""
        answer = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer


def portal(needs: Needs) -> FastAPI:
    """The whole portal, an ASGI application."""
    app = FastAPI(
        title="comunik-pbx",
        middleware=[Middleware(Protection, needs.language)],
        redirect_slashes=False,  # such a redirect would name the host that the request named
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            Away: _away,
            NotAllowed: _not_allowed,
            NotFound: _not_found,
            **dict.fromkeys((Unavailable, *needs.failures), _unavailable),
            HTTPException: _http,
        },
    )
    app.state.needs = needs
    for page in PAGES:
        app.include_router(page.router, include_in_schema=False)
    app.mount("/api/v1", api(needs))
    app.mount(f"/static/{static_version()}", _Kept(directory=STATIC))
    return app


async def _away(_: Request, error: Exception) -> Response:
    assert isinstance(error, Away)  # noqa: S101
    return RedirectResponse(error.to, status_code=303)


async def _who(request: Request) -> Visitor:
    """Whoever meets an error: in his language and theme, with his menu, unless even that cannot be found out."""
    try:
        return await visitor(request)
    except Exception:
        log.warning("who met an error is not known", exc_info=True)
        return Visitor(request, request.app.state.needs)


async def _not_allowed(request: Request, _: Exception) -> Response:
    who = await _who(request)
    return who.show("wrong.html", 403, wrong=who.text("This is not for you, or the page was too old. Go back."))


async def _not_found(request: Request, _: Exception) -> Response:
    who = await _who(request)
    return who.show("wrong.html", 404, wrong=who.text("There is no such page."))


async def _unavailable(request: Request, error: Exception) -> Response:
    log.error("the portal could not do what it was asked", path=request.url.path, why=str(error))
    who = await _who(request)
    wrong = who.text("This cannot be done at the moment; nothing was changed. Please try again.")
    return who.show("wrong.html", 503, wrong=wrong)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    who = await _who(request)
    words = {404: who.text("There is no such page."), 405: who.text("This page cannot do that.")}
    return who.show("wrong.html", error.status_code, wrong=words.get(error.status_code, str(error.detail)))
