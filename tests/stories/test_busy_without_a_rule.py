"""Alice is busy and has no rule: her voicemail takes the call with the busy greeting."""

import asyncio
import re

from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, Company, told

pytestmark = PBX


async def test_busy_without_a_rule(company: Company, phones: Phones, sandbox: Sandbox) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    logged = len(sandbox.asterisk.log_lines())

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await call.ringing()
    await at_desk.reject()
    await call.answered()
    await call.hears_speech()
    assert await greeting(sandbox, logged) == "vm-isonphone"
    await call.hangup()
    assert at_desk.statuses == [180, 486]
    assert call.statuses == [180, 200]

    record = await company.record()
    assert told(record) == "external live: ring 101 BUSY/17, voicemail 101@default VOICEMAIL/16 -> voicemail"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")


async def greeting(sandbox: Sandbox, logged: int) -> str:
    """What app_voicemail's greeting says of the owner: `vm-isonphone` (busy) or `vm-isunavail`."""
    async with asyncio.timeout(10):
        while True:
            for line in sandbox.asterisk.log_lines()[logged:]:
                if words := re.search(r"Playing '(vm-is\w+)", line):
                    return words[1]
            await asyncio.sleep(0.1)  # only Asterisk's log tells which words these are
