"""Errors as application/problem+json (RFC 9457), in the caller's language."""

import re
from typing import Any

import msgspec
import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.web.api.wrong import words
from comunik_pbx.web.languages import LANGUAGES, gettext, preferred
from comunik_pbx.web.needs import Needs

log = structlog.get_logger(__name__)

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "`about:blank`, or `urn:comunik-pbx:refused:CODE`"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence in the caller's language."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "why": {"type": "string"}},
            },
        },
    },
}


class Problem(Exception):
    """An operation that says no."""

    def __init__(self, status: int, title: str, detail: str = "", kind: str = "about:blank", **more: Any) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.kind = kind
        self.more = more


def refused(refusal: Refusal, language: str) -> Problem:
    """A rule or number that may not be."""
    why = refusal.words(language)
    text = gettext(language)
    kind = f"urn:comunik-pbx:refused:{refusal.code.value}"
    return Problem(422, text("Refused"), why[0].upper() + why[1:] + ".", kind)


def language_of(request: Request) -> str:
    """The caller's language: what he accepts, else his account's, else the company's."""
    needs: Needs = request.app.state.needs
    default = getattr(request.state, "language", None)
    accepted = request.headers.get("accept-language", "")
    return preferred(accepted, default if default in LANGUAGES else needs.language)


def answer(problem: Problem, request: Request) -> Response:
    """The problem as an answer."""
    body = {"type": problem.kind, "title": problem.title, "status": problem.status, **problem.more}
    if problem.detail:
        body["detail"] = problem.detail
    headers = {"content-language": language_of(request)}
    if problem.status == 401:
        headers["www-authenticate"] = 'Bearer realm="comunik-pbx"'
    return Response(msgspec.json.encode(body), problem.status, headers, "application/problem+json")


async def on_problem(request: Request, error: Exception) -> Response:
    """An operation said no."""
    assert isinstance(error, Problem)  # noqa: S101
    return answer(error, request)


async def on_unavailable(request: Request, error: Exception) -> Response:
    """The store or Asterisk is away."""
    log.error("the API could not do what it was asked", path=request.url.path, why=str(error))
    text = gettext(language_of(request))
    detail = text("This cannot be done at the moment; nothing was changed. Please try again.")
    return answer(Problem(503, text("Not available"), detail), request)


async def on_fault(request: Request, _: Exception) -> Response:
    """What nobody expected; `web.protection` logs it."""
    text = gettext(language_of(request))
    return answer(Problem(500, text("Something went wrong here, by no fault of yours. It has been noted.")), request)


async def on_invalid(request: Request, error: Exception) -> Response:
    """What was sent is not of the shape the operation takes."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    text = gettext(language_of(request))
    errors = [{"field": ".".join(map(str, one["loc"])), "why": words(one, text)} for one in error.errors()]
    return answer(Problem(422, text("Not what this operation takes"), errors=errors), request)


async def on_http(request: Request, error: Exception) -> Response:
    """No such operation, or not this method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    text = gettext(language_of(request))
    titles = {404: text("There is no such thing"), 405: text("Not this method"), 400: text("This cannot be read")}
    made = answer(Problem(error.status_code, titles.get(error.status_code, str(error.detail))), request)
    if error.status_code == 405:
        made.headers["allow"] = ", ".join(_methods(request))
    return made


def _methods(request: Request) -> list[str]:
    """What may be asked of a path (RFC 9110 section 10.2.1): Starlette names the methods of one of its routes only."""
    place = request.url.path.removeprefix(request.scope.get("root_path", ""))
    described: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    methods = (them for path, them in described.items() if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), place))
    return sorted({method.upper() for them in methods for method in them})
