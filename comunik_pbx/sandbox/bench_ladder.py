"""What a call loses without the service: `python -m comunik_pbx.sandbox.bench_ladder`.

The same call, from outside to an extension that always forwards to outside, with the service up, killed and stopped
(SIGSTOP); timed from the INVITE the PBX gets to the INVITE it sends, by SIPp on the same machine.
"""

import asyncio
import signal
import statistics
import sys
from dataclasses import dataclass

from comunik_pbx.forwarding.rules import RuleKind, ToNumber
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.bench_publishing import publishing_figures
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running
from comunik_pbx.store import Store

CALLS = 40
PER_SECOND = 5.0
EXTENSION = "111"  # has no mailbox: the call ends with the far end's 486
FAR_END = "+33612345678"
PUBLISHED_WITHIN = 10.0


@dataclass(frozen=True)
class LadderFigures:
    """INVITE in to INVITE out, in seconds, of each call."""

    live: list[float]
    down: list[float]
    hung: list[float]

    def __str__(self) -> str:
        rows = [("service up", self.live), ("service down", self.down), ("service hung", self.hung)]
        return f"INVITE in to INVITE out, {len(self.live)} calls each\n" + "\n".join(
            f"  {what:14} median {statistics.median(of) * 1000:7.1f} ms, worst {max(of) * 1000:7.1f} ms"
            for what, of in rows
        )


async def ladder_figures(sandbox: Sandbox, calls: int = CALLS) -> LadderFigures:
    """Measure the three; the sandbox's service is up before and after."""
    if sandbox.service is None:
        raise SandboxError("the ladder is measured with a service that is up at first")
    async with await Store.open(f"sqlite:///{sandbox.config.parent / 'comunik.db'}") as store:
        await store.set_rule(EXTENSION, RuleKind.ALWAYS, ToNumber(FAR_END), rings=0, until=None, by="bench")
        try:
            async with asyncio.timeout(PUBLISHED_WITHIN):
                while FAR_END not in await sandbox.console(f"database get comunik-plan/external {EXTENSION}"):
                    pass
            await _timed(sandbox, 5)  # the first calls of a fresh Asterisk are slower
            live = await _timed(sandbox, calls)
            sandbox.service.send_signal(signal.SIGSTOP)
            try:
                hung = await _timed(sandbox, calls)
            finally:
                sandbox.service.send_signal(signal.SIGCONT)
            sandbox.service.send_signal(signal.SIGKILL)
            await sandbox.service.wait()
            down = await _timed(sandbox, calls)
            await sandbox.start_service()
        finally:
            await store.clear_rule(EXTENSION, RuleKind.ALWAYS, by="bench")
    return LadderFigures(live, down, hung)


async def _timed(sandbox: Sandbox, calls: int) -> list[float]:
    async with (
        sipp.switch(sandbox, "carrier", [486]) as far_end,
        sipp.caller(sandbox, EXTENSION, calls=calls, per_second=PER_SECOND) as caller,
    ):
        await caller.finished(within=calls / PER_SECOND + 20)
        incoming = [message.at for message in caller.messages if message.sent and message.method == "INVITE"]
        outgoing = [message.at for message in far_end.invites]
    if len(incoming) != calls or len(outgoing) != calls:
        raise SandboxError(f"of {calls} calls {len(incoming)} were made and {len(outgoing)} forwarded")
    # Calls begin 200 ms apart and all take alike, so they come out in the order they went in.
    return [out - into for into, out in zip(sorted(incoming), sorted(outgoing), strict=True)]


async def _main() -> None:
    layout = Layout.from_environment()
    async with running(layout, print) as sandbox:
        print(await ladder_figures(sandbox))
        await sandbox.stop_service()
        print(await publishing_figures(sandbox))


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
