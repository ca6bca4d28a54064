"""Three *always* rules in a circle, which no command would save, put straight into the database: calls still arrive."""

import sqlite3

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


async def test_always_101_to_102_to_103_to_101(company: Company, phones: Phones) -> None:
    alice, bruno, chloe = [await phones.register(extension) for extension in ("101", "102", "103")]
    customer = (await phones.carrier()).number(CUSTOMER)
    put(company, "101", "102")
    put(company, "102", "103")
    put(company, "103", "101")
    await company.followed()

    call = await customer.dial("+33170000101")
    at_chloe = await chloe.rings()
    assert at_chloe.diversion == ("102", "unconditional")
    await talk_and_part(call, at_chloe)
    assert (alice.rang, bruno.rang, chloe.rang) == (0, 0, 1)

    record = await company.record()
    assert told(record) == "external live: ring 103 ANSWER/16 -> answered"
    assert [(entry["extension"], entry["rule"], entry["followed"]) for entry in record.trace][:3] == [
        ("101", "always", True),
        ("102", "always", True),
        ("103", "always", False),
    ]
    assert record.trace[2]["why"] == "loop"


async def test_always_to_oneself(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    put(company, "101", "101")
    await company.followed()

    call = await customer.dial("+33170000101")
    at_alice = await alice.rings()
    assert at_alice.diversion is None
    await talk_and_part(call, at_alice)
    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert record.trace[0]["why"] == "self"


def put(company: Company, extension: str, to: str) -> None:
    """An *always* rule to an extension, by hand in the database."""
    database = sqlite3.connect(company.sandbox.config.parent / "comunik.db", timeout=5)
    try:
        with database:
            database.execute(
                "INSERT INTO rules (extension, kind, to_kind, to_number, rings, enabled, version, changed_by,"
                " changed_at) VALUES (?, 'always', 'extension', ?, 0, 1, 1, 'by hand', '2026-01-01T00:00:00+00:00')",
                (extension, to),
            )
    finally:
        database.close()
