"""An outside number is proven before use: the system calls it, a code is heard there and typed in the API."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest_asyncio

from comunik_pbx.accounts.account import Role, Token
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import IncomingCall, Phones
from comunik_pbx.store.accounts import fingerprint
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting, told
from tests.stories.played import Played
from tests.stories.test_who_forwarded_is_on_the_bill import USERFIELD, cdrs

pytestmark = PBX

DID = "+33170000101"
PROOF = f"/numbers/{MOBILE}/proof"


class Api:
    """The API of the running service, by a token of Alice's."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, method: str, path: str, status: int, body: Any = None) -> Any:
        answer = await self._client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None) -> str:
        """The code of the refusal."""
        kind: str = (await self.ask(method, path, 422, body))["type"]
        return kind.removeprefix("urn:comunik-pbx:refused:")

    async def until(self, state: str, proof: str = PROOF, within: float = 20) -> None:
        """Wait until the proof has come so far."""
        now = ""
        try:
            async with asyncio.timeout(within):
                while now != state:
                    now = (await self.ask("GET", proof, 200))["state"]
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"the proof is {now}, not {state}") from None


@asynccontextmanager
async def api_of(company: Company, extension: str) -> AsyncIterator[Api]:
    """The API for one user."""
    accounts, secret, now = company.store.accounts, f"cpbx_{secrets.token_urlsafe(20)}", datetime.now(UTC)
    await accounts.invite(extension, Role.USER, secrets.token_urlsafe(32), now, by="story", at=now)
    scopes = ("rules:read", "rules:write")
    token = Token(id=fingerprint(secret), account=extension, label="story", scopes=scopes, created_at=now)
    await accounts.put_token(token, by="story")
    addresses = company.sandbox.layout.addresses
    url = f"http://{addresses.host}:{addresses.portal}/api/v1"
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {secret}"}) as client:
        yield Api(client)
    await accounts.remove(extension, by="story", at=now)


@pytest_asyncio.fixture(loop_scope="session")
async def alice(company: Company) -> AsyncIterator[Api]:
    """Alice's API, in a company where numbers must be proven."""
    async with company.configured(setting("forwarding", "prove_numbers", "true")), api_of(company, "101") as api:
        yield api
    for one in await company.store.proven.all():
        await company.store.proven.remove(one.extension, one.number, by="story", at=datetime.now(UTC))
    await company.followed()


def code_in(played: Played) -> str:
    """The digits that were said."""
    return "".join(file.removeprefix("digits/") for file, _ in played.files if re.fullmatch(r"digits/\d", file))


async def called(api: Api, phones: Phones) -> IncomingCall:
    """The mobile, which rings because Alice asked for it, and has answered."""
    mobile = (await phones.carrier()).number(MOBILE)
    assert (await api.ask("POST", PROOF, 202))["state"] == "calling"
    on_mobile = await mobile.rings()
    await on_mobile.answer()
    return on_mobile


async def test_called_heard_typed_then_forwarded(alice: Api, company: Company, phones: Phones) -> None:
    assert await alice.refused("PUT", "/rules/external", {"to": MOBILE}) == "unproven"
    bills = len(cdrs(company.sandbox))
    on_mobile = await called(alice, phones)
    assert on_mobile.caller == DID, "our own number, that the person recognises"
    await on_mobile.hears_speech()
    await alice.until("asked")
    assert await alice.refused("POST", PROOF + "/code", {"code": "00000"}) == "no-code", "nobody has heard one"
    played = Played(company)
    await on_mobile.press("1")
    await alice.until("said")
    await on_mobile.hears_speech()
    assert (await on_mobile.ended(within=40)).by_far_end
    assert [row[USERFIELD] for row in cdrs(company.sandbox)[bills:]] == ["proof-for:101"]
    twice = code_in(played)
    code, again = twice[:5], twice[5:]
    assert code == again, twice
    assert all(language == "fr" for _, language in played.files)

    wrong = f"{(int(code) + 1) % 100000:05}"
    assert await alice.refused("POST", PROOF + "/code", {"code": wrong}) == "wrong-code"
    assert await alice.refused("PUT", "/rules/external", {"to": MOBILE}) == "unproven"
    proven = await alice.ask("POST", PROOF + "/code", 200, {"code": code})
    assert (proven["number"], proven["proven_by"]) == (MOBILE, "api:101")
    assert await alice.refused("POST", PROOF + "/code", {"code": code}) == "no-code", "a code works once"
    assert (await alice.ask("PUT", "/rules/external", 200, {"to": MOBILE}))["to"] == MOBILE
    assert await alice.refused("POST", PROOF) == "no-proof-needed"

    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(DID)
    forwarded = await (await phones.carrier()).number(MOBILE).rings()
    await forwarded.answer()
    await call.answered()
    await call.hears(forwarded.line)
    await call.hangup()
    assert told(await company.record()) == "external live: forward carrier ANSWER/16 -> answered"
    audit = [(line.action, line.by, line.detail) for line in await company.store.accounts.audit("101", 3)]
    assert ("number proven", "api:101", MOBILE) in audit


async def test_a_rule_from_before_is_not_followed(alice: Api, company: Company, phones: Phones) -> None:
    """Set before proofs were asked for: calls ring at the desk until it is proven, and the record says why."""
    desk = await phones.register("101")
    await company.forwards("101", "always", MOBILE)
    call = await (await phones.carrier()).number(CUSTOMER).dial(DID)
    at_desk = await desk.rings()
    await at_desk.answer()
    await call.answered()
    await call.hangup()
    record = await company.record()
    assert record.trace[0]["why"] == (
        f"refused: {MOBILE} has not been proven: have the system call it, and type the code it says"
    )
    explained = await alice.ask("GET", "/explain?caller=anonymous", 200)
    assert explained["steps"][0]["kind"] == "ring"


async def test_a_voicemail_hears_no_code(alice: Api, company: Company, phones: Phones) -> None:
    """It presses no 1. Nor can a code be guessed that was not said."""
    on_mobile = await called(alice, phones)
    await alice.until("asked")
    await on_mobile.hears_speech()
    assert (await on_mobile.ended(within=30)).by_far_end
    await alice.until("unheard")
    assert await alice.refused("POST", PROOF + "/code", {"code": "12345"}) == "no-code"


async def test_nobody_answers(alice: Api, phones: Phones) -> None:
    mobile = (await phones.carrier()).number(MOBILE)
    await alice.ask("POST", PROOF, 202)
    assert await alice.refused("POST", PROOF) == "proof-pending"
    on_mobile = await mobile.rings()
    await alice.until("ringing")
    await on_mobile.reject()
    await alice.until("unanswered", within=5)


async def test_three_calls_an_hour_each_by_the_first_trunk_that_rings(alice: Api, company: Company) -> None:
    proof = "/numbers/+33612345699/proof"
    async with (
        api_of(company, "103") as api,
        sipp.switch(company.sandbox, "carrier", [503]) as carrier,
        sipp.switch(company.sandbox, "backup", [180, 0.5, 486]) as backup,
    ):
        for call in range(3):
            await api.ask("POST", proof, 202)
            await api.until("unanswered", proof)
            assert (len(carrier.invites), len(backup.invites)) == (call + 1, call + 1)
        assert await api.refused("POST", proof) == "proof-calls"
        assert await alice.refused("POST", proof) == "proof-calls", "whoever asks"


async def test_what_may_not_be_forwarded_to_is_not_called(alice: Api, company: Company, phones: Phones) -> None:
    await phones.carrier()
    for number, code in (("0899123456", "premium"), ("+442079460000", "country"), (DID, "no-proof-needed")):
        assert await alice.refused("POST", f"/numbers/{number}/proof") == code
    async with company.configured(setting("extensions.101", "max_outside_calls_per_day", "0")):
        assert await alice.refused("POST", PROOF) == "limit-per-day"
    async with company.configured(setting("extensions.101", "outside", "false")):
        assert await alice.refused("POST", PROOF) == "outside"
