"""Callers who hope that what they send will be executed: by the real Asterisk, live and from a published plan."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX
from tests.stories.company import Company, company_of, whole_second

pytestmark = PBX


@pytest_asyncio.fixture(loop_scope="session")
async def company(sandbox: Sandbox) -> AsyncIterator[Company]:
    async with company_of(sandbox) as made:
        yield made
        if sandbox.service is None:
            await sandbox.start_service()


@pytest.mark.parametrize("decided", ["live", "published"])
async def test_nothing_a_caller_sends_is_executed(company: Company, tmp_path: Path, decided: str) -> None:
    sandbox = company.sandbox
    await sandbox.console("database put fuzz still there")
    await company.forwards("111", "external", "+33612345678")
    if decided == "published":
        await sandbox.stop_service()
        await whole_second()
    evil = "${DB_DELETE(fuzz/still)}"  # which, evaluated, deletes the entry
    escaped = evil.replace("$", "%24").replace("{", "%7B").replace("}", "%7D").replace("/", "%2F")
    texts = [
        f"0612{escaped}",
        "%24%5B1%2F0%5D",
        "101%26PJSIP%2F999",
        "a%0D%0AAction%3A%20Originate",
        "%3B%7C%7E!%22%2C",
    ]
    fields = tmp_path / "fields.csv"
    fields.write_text("SEQUENTIAL\n" + "".join(f"{text};{evil}\n" for text in texts))
    async with (
        sipp.switch(sandbox, "carrier", [180, 200]) as carrier,
        sipp.caller(
            sandbox,
            "111",
            from_uri="sip:[field0]@10.0.0.1",
            display="[field1]",
            headers=[
                "Diversion: <sip:[field0]@10.0.0.1>;reason=no-answer",
                'P-Asserted-Identity: "[field1]" <sip:[field0]@10.0.0.1>',
            ],
            talk_seconds=0.05,
            calls=len(texts),
            fields=fields,
        ) as callers,
    ):
        assert await callers.finished() == 0
        sent = [message.text for message in callers.messages if message.sent and message.method == "INVITE"]
        assert all(any(text in one and evil in one for one in sent) for text in texts)
        assert {invite.start_line.split("@")[0] for invite in carrier.invites} == {"INVITE sip:+33612345678"}
        assert len(carrier.invites) == len(texts)
    if decided == "published":
        await sandbox.start_service()
    rows = await company.records(len(texts))
    assert [(row.decided, row.status) for row in rows] == [(decided, "answered")] * len(texts)
    assert "Value: there" in await sandbox.console("database get fuzz still")
