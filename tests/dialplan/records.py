"""What the dialplan reports at the end of a call, as it keeps it in AstDB, and as the service reads it."""

import asyncio
from dataclasses import dataclass

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.calls.call_end import call_end
from comunik_pbx.calls.kept_ends import KEPT
from comunik_pbx.sandbox.company import AMI_USER
from comunik_pbx.sandbox.sandbox import Sandbox

LOOK_SECONDS = 0.02
"""AstDB tells nobody what is written into it."""


@dataclass(frozen=True)
class Outcome:
    """One entry of `Steps`: which step of the plan, how it ended, for how long it rang, who answered."""

    index: int
    status: str
    cause: int
    ring_ms: int
    answered_by: str
    answered_ms: int


@dataclass(frozen=True)
class Reported:
    """The report, with `Status` and `Cause` as the service makes them of what went on."""

    headers: dict[str, str]

    def __getitem__(self, name: str) -> str:
        end = call_end({name.lower(): value for name, value in self.headers.items()})
        if name == "Status":
            return end.status
        return str(end.cause) if name == "Cause" else self.headers[name]

    @property
    def steps(self) -> list[Outcome]:
        end = call_end({name.lower(): value for name, value in self.headers.items()})
        return [
            Outcome(one.index, one.status, one.cause, one.ring_ms, one.answered_by or "", one.answered_ms)
            for one in end.outcomes
        ]

    @property
    def story(self) -> list[tuple[int, str, int]]:
        return [(step.index, step.status, step.cause) for step in self.steps]


class Events:
    """The reports of calls that end while it is open; use as `async with`."""

    def __init__(self, sandbox: Sandbox) -> None:
        addresses = sandbox.layout.addresses
        self._ami = AmiClient(addresses.host, addresses.ami, AMI_USER, sandbox.passwords.ami, linger_seconds=5.0)
        self._known: dict[str, str] = {}
        self._waiting: list[Reported] = []

    async def __aenter__(self) -> "Events":
        self._known = await self._ami.db_get_tree(KEPT)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ami.close()

    async def record(self, called: str, within: float = 15.0) -> Reported:
        """The next report of a call to `called`; each is given once."""
        async with asyncio.timeout(within):
            while True:
                found = await self._ami.db_get_tree(KEPT)
                new = [report for key, report in found.items() if self._known.get(key) != report]
                self._known = found
                for report in new:
                    pairs = (field.partition(": ") for field in report.split(","))
                    self._waiting.append(Reported({name: value for name, _, value in pairs}))
                for reported in self._waiting:
                    if reported["Called"] == called:
                        self._waiting.remove(reported)
                        return reported
                await asyncio.sleep(LOOK_SECONDS)
