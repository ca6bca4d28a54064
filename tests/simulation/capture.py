"""Play the scenes on the real Asterisk and keep what it said: `python -m tests.simulation.capture [SCENE …]`."""

import asyncio
import sys
from pathlib import Path

import msgspec

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.sandbox.company import AMI_USER, ARI_USER
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.phone_call import OutgoingCall
from comunik_pbx.sandbox.phones import Carrier, Line, Phone, Phones
from comunik_pbx.sandbox.sandbox import Sandbox, running
from tests.simulation.scenes import SCENES, Heard, play

CAPTURED = Path(__file__).parent / "captured.json"

CUSTOMER, MOBILE = "+33140000000", "+33612345678"


class RealStage:
    """Real phones."""

    def __init__(self, sandbox: Sandbox, phones: Phones, carrier: Carrier) -> None:
        addresses = sandbox.layout.addresses
        self.url, self.ari_user, self.ari_password = sandbox.ari_url, ARI_USER, sandbox.passwords.ari
        self.ami = AmiClient(addresses.host, addresses.ami, AMI_USER, sandbox.passwords.ami)
        self._phones = phones
        self._customer = carrier.number(CUSTOMER)
        self._mobile = carrier.number(MOBILE)
        self._phone: Phone | None = None
        self._calls: list[OutgoingCall] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def reacts(self, kind: str) -> None:
        self._phone = await self._phones.register("101")
        for line in (self._phone, self._mobile):
            self._tasks.append(asyncio.create_task(self._react(line, kind)))

    async def _react(self, line: Line, kind: str) -> None:
        incoming = await line.rings(within=30)
        if kind == "answer":
            await incoming.answer()
        elif kind == "busy":
            await incoming.reject()

    async def dial(self, called: str) -> None:
        self._calls.append(await self._customer.dial(called))

    async def phone_dials(self, called: str) -> None:
        assert self._phone is not None
        await self._phone.dial(called)

    async def connected(self) -> None:
        await self._calls[-1].answered(within=10)

    async def ringing(self) -> None:
        await self._calls[-1].ringing()

    async def hang_up(self) -> None:
        for call in self._calls:
            await call.hangup()
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def capture(names: list[str]) -> dict[str, Heard]:
    """Play these scenes."""
    layout = Layout.from_environment().for_tests()
    heard = {}
    async with running(layout, print, service=False, fresh=True) as sandbox:
        await sandbox.console("database deltree comunik-plan")
        await sandbox.console("database deltree comunik-ended")
        for name in names:
            async with sandbox.phones() as phones:
                stage = RealStage(sandbox, phones, await phones.carrier())
                heard[name] = await play(SCENES[name], stage)
                await stage.close()
            print(name, heard[name])
    return heard


def main() -> None:
    names = sys.argv[1:] or list(SCENES)
    before = msgspec.json.decode(CAPTURED.read_bytes()) if CAPTURED.exists() else {}
    after = before | asyncio.run(capture(names))
    CAPTURED.write_bytes(
        msgspec.json.format(msgspec.json.encode({name: after[name] for name in SCENES if name in after})) + b"\n"
    )


if __name__ == "__main__":
    main()
