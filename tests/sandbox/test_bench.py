"""The benchmark, small: it measures what it says, on the real Asterisk; how fast is not judged here."""

import math
from datetime import UTC, datetime

import pytest

from comunik_pbx import config as configuration
from comunik_pbx.sandbox import bench, bench_portal, bench_report
from comunik_pbx.sandbox.bench_calls import Burst, burst, register_phones
from comunik_pbx.sandbox.bench_decision import decision_times
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.stories.company import company_of


def test_figures_and_ratios() -> None:
    plain = Burst(calls=2, lost=0, asterisk_ms=4.0, service_ms=0.0, through_ms=(1.0, 2.0))
    live = Burst(calls=2, lost=1, asterisk_ms=4.5, service_ms=0.5, through_ms=(3.0, 5.0))
    assert (live.cpu_ms, live.through(0.5), live.through(0.99)) == (5.0, 5.0, 5.0)
    table = bench_report.costs({bench.PLAIN: [plain], bench.LIVE: [live]}, {bench.LIVE: bench.PLAIN})
    assert [line.split()[-9:] for line in table if line.startswith(bench.LIVE.name)] == [
        ["0.50", "1.25", "1.25", "to", "1.25", "5.00", "5.00", "+3.0", "1"]
    ]
    rounds = [Burst(calls=2, lost=0, asterisk_ms=ms, service_ms=0.0, through_ms=(1.0,)) for ms in (5.0, 4.0, 6.0)]
    table = bench_report.costs({bench.PLAIN: [plain] * 3, bench.LIVE: rounds}, {bench.LIVE: bench.PLAIN})
    assert " 1.25 1.12 to 1.38 " in " ".join(table[-2].split())


@pytest.mark.pbx
@pytest.mark.asyncio(loop_scope="session")
async def test_a_few_calls_each_way(sandbox: Sandbox) -> None:
    directory = configuration.load(sandbox.config).directory
    typical, chain = decision_times(directory, seconds=0.01)
    assert (typical.steps, chain.steps) == (4, 7)
    assert 0 < typical.plan_us < math.inf

    async with company_of(sandbox):  # without its rules before and after
        await bench.set_rules(sandbox)
        await register_phones(sandbox)
        try:
            for variant in (bench.PLAIN, bench.PLAIN_FORWARD, bench.LIVE, bench.LIVE_FORWARD):
                began = datetime.now(UTC)
                measured = await burst(sandbox, variant, calls=4, per_second=20, talk_seconds=0.1)
                assert (measured.lost, len(measured.through_ms)) == (0, 4), variant.name
                assert measured.through_ms[0] > 0
                live = 4 if variant in bench.BASELINE else 0
                assert await bench.decided_live(sandbox, began, live) == live
        finally:
            await register_phones(sandbox, expires=0)


@pytest.mark.pbx
@pytest.mark.asyncio(loop_scope="session")
async def test_a_few_changes_in_the_portal(sandbox: Sandbox) -> None:
    async with company_of(sandbox) as company:
        users = await bench_portal._users(sandbox)
        assert len(users) == bench_portal.USERS
        took, failed = await bench_portal._changes(sandbox, users[:5], 1.0)
        assert (len(took), failed) == (5, 0)
        numbers = {str(rule.external.to) for rule in (await company.store.rules()).values() if rule.external}
        assert numbers == {number for _, number in users[:5]}
        for account in await company.store.accounts.all():
            await company.store.accounts.remove(account.name, by="test", at=datetime.now(UTC))
