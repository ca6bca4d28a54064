"""A call becomes a fax (T.38): the re-INVITE, its answer and the fax's packets pass, as on plain `Dial()`."""

import re
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager

import pytest

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sip_message import SipMessage
from comunik_pbx.sandbox.sipp_scenarios import Fax
from tests.pbx import PBX
from tests.stories.beside import FORWARDED, PLAIN, number_of_bruno
from tests.stories.company import MOBILE, Company

pytestmark = PBX

PREAMBLE = bytes([0, 0, 1, 6, 0, 0])
"""One UDPTL packet (T.38 9.1): number 0, one byte of IFP (a V.21 preamble), no earlier packets for redundancy."""

OUTSIDE = "forwarded outside"


@contextmanager
def fax_machine() -> Iterator[socket.socket]:
    """Where the UDPTL packets of one side arrive."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as machine:
        machine.bind(("127.0.0.1", 0))
        machine.settimeout(3.0)
        yield machine


def image_port(message: SipMessage) -> int:
    """Where a message wants the fax's packets."""
    found = re.search(r"^m=image (\d+) udptl t38", message.body, re.MULTILINE)
    assert found, f"no T.38 in {message.start_line}"
    return int(found[1])


@pytest.mark.parametrize("way", [PLAIN, FORWARDED, OUTSIDE])
@pytest.mark.parametrize("offered_by", ["callee", "caller"])
async def test_a_call_becomes_a_fax(company: Company, way: str, offered_by: str) -> None:
    with ExitStack() as machines:
        theirs, ours = (machines.enter_context(fax_machine()) for _ in range(2))
        callee_is = Fax(offered_by == "callee", theirs.getsockname()[1])
        caller_is = Fax(offered_by == "caller", ours.getsockname()[1])
        async with AsyncExitStack() as stack:
            if way == OUTSIDE:
                await company.forwards("101", "always", MOBILE)
                number = "101"
                callee = await stack.enter_async_context(
                    sipp.switch(company.sandbox, "carrier", [180, 200], fax=callee_is)
                )
            else:
                number = await number_of_bruno(company, way)
                callee = await stack.enter_async_context(sipp.phone(company.sandbox, "102", [180, 200], fax=callee_is))
            caller = await stack.enter_async_context(
                sipp.caller(company.sandbox, number, trunk="backup", fax=caller_is, talk_seconds=0.3)
            )
            offering, taking = (callee, caller) if callee_is.offers else (caller, callee)
            assert (await taking.received_body("m=image")).method == "INVITE"
            assert (await offering.received_body("m=image")).status == 200
            pbx = company.sandbox.layout.addresses.host
            # Of Asterisk's own ports, 4000 to 4999: what it takes back (`m=image 0`) may be of the story before.
            for sender, side, receiver in ((theirs, callee, ours), (ours, caller, theirs)):
                sender.sendto(PREAMBLE, (pbx, image_port(await side.received_body("m=image 4"))))
                assert receiver.recv(100)[2:4] == PREAMBLE[2:4]
            assert await caller.finished() == 0
