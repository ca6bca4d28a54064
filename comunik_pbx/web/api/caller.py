"""Whose token a request brings, and what the token is for."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from comunik_pbx.accounts.account import Account, Role, Token
from comunik_pbx.forwarding.directory import Extension
from comunik_pbx.web.api.problems import Problem, language_of
from comunik_pbx.web.languages import Gettext, gettext
from comunik_pbx.web.needs import Needs

USED_EVERY = timedelta(minutes=5)

bearer = HTTPBearer(auto_error=False, description="A token of `comunik-pbx token make`.")


@dataclass(frozen=True)
class Caller:
    """Who calls the API."""

    request: Request
    needs: Needs
    account: Account
    token: Token

    @property
    def address(self) -> str:
        """Where he comes from."""
        return self.request.client.host[:64] if self.request.client else ""

    @property
    def language(self) -> str:
        """His language."""
        return language_of(self.request)

    @property
    def text(self) -> Gettext:
        """How to say something to him."""
        return gettext(self.language)

    @property
    def by(self) -> str:
        """How the history names him."""
        return f"api:{self.account.name}"

    @property
    def extension(self) -> Extension:
        """His extension. Raises Problem 404 for an administrator without one."""
        found = self.needs.rules.directory().extensions.get(self.account.name)
        if found is None:
            raise Problem(404, self.text("This account has no extension"))
        return found


def caller(scope: str) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency: the caller, if his token has this scope."""

    async def with_scope(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer, scopes=[scope])] = None,
    ) -> Caller:
        needs: Needs = request.app.state.needs
        text = gettext(language_of(request))
        found = await needs.accounts.token(credentials.credentials) if credentials is not None else None
        now = needs.clock()
        if found is None or (found[0].expires_at is not None and found[0].expires_at <= now):
            raise Problem(401, text("A token is needed"), text("Make one: comunik-pbx token make"))
        token, account = found
        request.state.language = account.language
        known = account.role is Role.ADMIN or account.name in needs.rules.directory().extensions
        if not known or scope not in token.scopes or (scope.startswith("admin:") and account.role is not Role.ADMIN):
            raise Problem(403, text("This token is not for that"), text("Scope: %(scope)s") % {"scope": scope})
        if token.used_at is None or now - token.used_at > USED_EVERY:
            await needs.accounts.token_used(token.id, now)
        return Caller(request, needs, account, token)

    return with_scope


def allowed(scope: str) -> Any:
    """Who calls, as an operation's argument, if his token has this scope."""
    return Depends(caller(scope))
