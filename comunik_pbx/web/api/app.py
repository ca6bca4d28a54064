"""The API's application."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from comunik_pbx.web.api import calls, company, problems, profile, proofs, rules, security
from comunik_pbx.web.api.examples import show_examples
from comunik_pbx.web.needs import Needs, Unavailable

ABOUT = """Everything the portal's pages do, for programs.

A token is made by `comunik-pbx token make ACCOUNT LABEL --scope rules:read` and sent as `Authorization: Bearer …`.
It acts for its account: a user's sees that user's extension only. Errors are `application/problem+json` (RFC 9457) in
the language of `Accept-Language`, else the account's. Each operation names the scope it needs under `security`.
"""

_SAID = {
    400: ("What was sent cannot be read", {"title": "This cannot be read"}),
    401: ("No token, or not a good one", {"title": "A token is needed", "detail": "Make one: comunik-pbx token make"}),
    403: ("The token is not for that", {"title": "This token is not for that", "detail": "Scope: rules:write"}),
    404: ("There is no such thing", {"title": "There is no such thing"}),
    413: ("Too much was sent", {"title": "That is too much."}),
    422: (
        "Refused; the detail, or errors by field, say why",
        {
            "type": "urn:comunik-pbx:refused:premium",
            "title": "Refused",
            "detail": "+33899123456 is a premium-rate number.",
        },
    ),
    429: ("Too many wrong passwords", {"title": "Refused", "detail": "Too many wrong passwords. …"}),
    503: ("The store or Asterisk is away; nothing was changed", {"title": "Not available"}),
}

_ERRORS = {
    status: {
        "description": description,
        "content": {
            "application/problem+json": {
                "schema": problems.PROBLEM,
                "example": {"type": "about:blank", "status": status, **example},
            }
        },
    }
    for status, (description, example) in _SAID.items()
}


def api(needs: Needs) -> FastAPI:
    """The API, to be mounted at /api/v1; its description is at /api/v1/openapi.json."""
    app = FastAPI(
        title="comunik-pbx",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=_ERRORS,  # type: ignore[arg-type]
        exception_handlers={
            problems.Problem: problems.on_problem,
            **dict.fromkeys((Unavailable, *needs.failures), problems.on_unavailable),
            RequestValidationError: problems.on_invalid,
            HTTPException: problems.on_http,
            Exception: problems.on_fault,
        },
    )
    app.state.needs = needs
    for part in (rules, proofs, profile, calls, security, company):
        app.include_router(part.router)
    show_examples(app)
    return app
