"""What is published is read as it is meant: plans that end, plans in pieces, the caller's own."""

import pytest

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.dialplan.conftest import Publish
from tests.dialplan.records import Events
from tests.pbx import PBX

pytestmark = PBX

FUTURE = "4102444800"  # 2100


@pytest.mark.parametrize(
    ("entries", "decided", "plan"),
    [
        ({"101": f"{FUTURE}>1|end~17"}, "published", "1|end~17"),
        ({"101": "5>1|end~17", "101/5": "1|end~31"}, "published", "1|end~31"),
        ({"101": "5>1|end~17", "101/5": "6>1|end~18", "101/6": f"{FUTURE}>1|end~31"}, "published", "1|end~31"),
        ({"101": "1|en>", "101/more": "d~3>", "101/more/more": "1"}, "published", "1|end~31"),
        ({"101": "5>1|en>", "101/more": "d~17", "101/5": "1|end~>", "101/5/more": "31"}, "published", "1|end~31"),
        ({"101": "5>1|end~17"}, "default", None),  # what follows is missing
        ({"101": "1|end>"}, "default", None),  # its piece is missing
        ({"101": "5>"}, "default", None),
        ({"101": ">"}, "default", None),
        ({"101": "x>1|end~17"}, "default", None),
    ],
)
async def test_plans_that_end_and_plans_in_pieces(
    pbx: Sandbox, publish: Publish, events: Events, entries: dict[str, str], decided: str, plan: str | None
) -> None:
    for key, value in entries.items():
        await publish(key, value)
    async with sipp.caller(pbx, "101", talk_seconds=0.1) as caller:
        await caller.final()
        record = await events.record("101")
    assert record["Decided"] == decided
    if plan is not None:
        assert record["Plan"] == plan


async def test_a_did_leads_to_its_extensions_plan(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", "1|end~31")
    await publish("33170000101", "101", origin="did")
    async with sipp.caller(pbx, "+33170000101") as caller:
        assert (await caller.final()).status == 480
    record = await events.record("+33170000101")
    assert (record["Decided"], record["Plan"]) == ("published", "1|end~31")
