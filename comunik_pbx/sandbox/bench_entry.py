"""What a call costs that asks by FastAGI, beside one that enters Stasis(): `python -m comunik_pbx.sandbox.bench_entry`.

The same call, from outside to an extension that always forwards to outside, by turns with one entry and the other, to
one service that serves both.
"""

import asyncio
import dataclasses
import statistics
import sys

from comunik_pbx import config as configuration
from comunik_pbx.cli.dialplan import dialplan
from comunik_pbx.forwarding.rules import RuleKind, ToNumber
from comunik_pbx.sandbox.bench_calls import Burst, Variant, burst
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running
from comunik_pbx.store import Store

ROUNDS, CALLS, PER_SECOND = 3, 300, 40.0
EXTENSION, FAR_END = "111", "+33612345678"


async def entry_figures(sandbox: Sandbox) -> dict[str, list[Burst]]:
    """Bursts of calls by entry, taken by turns; the sandbox's service listens for AGI too."""
    config = configuration.load(sandbox.config)
    entries = {
        "Stasis()": dialplan(dataclasses.replace(config, agi=configuration.Agi()))["incoming.conf"],
        "AGI()": dialplan(config)["incoming.conf"],
    }
    figures: dict[str, list[Burst]] = {entry: [] for entry in entries}
    async with await Store.open(config.store_url) as store:
        await store.set_rule(EXTENSION, RuleKind.ALWAYS, ToNumber(FAR_END), rings=0, until=None, by="bench")
        while FAR_END not in await sandbox.console(f"database get comunik-plan/external {EXTENSION}"):
            pass
    for number in range(ROUNDS + 1):
        for entry, text in entries.items():
            (sandbox.layout.etc / "comunik" / "incoming.conf").write_text(text, encoding="utf-8")
            await sandbox.console("dialplan reload")
            calls = CALLS if number else 40  # the first calls of a fresh Asterisk cost more, and do not count
            made = await burst(
                sandbox, Variant(entry, (EXTENSION,), by_carrier=True), calls=calls, per_second=PER_SECOND
            )
            if number:
                figures[entry].append(made)
    return figures


async def _main() -> None:
    layout = Layout.from_environment()
    layout.home.mkdir(parents=True, exist_ok=True)
    both = layout.home / "both-entries.toml"
    both.write_text(f'[agi]\nlisten = "{layout.addresses.host}:{layout.addresses.agi}"\n')
    async with running(layout, print, includes=(both,), database="bench.db", fresh=True) as sandbox:
        figures = await entry_figures(sandbox)
    print(
        f"CPU of Asterisk and service per call, median of {ROUNDS} rounds of {CALLS} calls at {PER_SECOND:g} a second"
    )
    for entry, bursts in figures.items():
        cpu = statistics.median(made.cpu_ms for made in bursts)
        through = statistics.median(made.through(0.5) for made in bursts)
        lost = sum(made.lost for made in bursts)
        print(f"  {entry:9} {cpu:5.1f} ms, INVITE in to INVITE out {through:4.1f} ms, {lost} lost")


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except SandboxError as error:
        sys.exit(str(error))
