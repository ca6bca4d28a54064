"""What Prometheus reads from a running service on the real Asterisk."""

import asyncio
import socket
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX
from tests.service.serving import company_in, serving
from tests.service.test_serving import CUSTOMER, answered_by_whom
from tests.service.test_store_faults import set_rule

pytestmark = PBX


async def figures(port: int) -> dict[str, float]:
    """Every sample by its name with its labels, such as `comunik_calls_total decided=live status=answered`."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    return {
        " ".join([sample.name, *(f"{label}={value}" for label, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def until(port: int, name: str, value: float) -> dict[str, float]:
    """The figures once one of them has this value."""
    seen: dict[str, float] = {}
    try:
        async with asyncio.timeout(10):
            while (seen := await figures(port)).get(name) != value:  # noqa: ASYNC110  as Prometheus does
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{name} is not {value}: {seen}") from None
    return seen


async def test_figures_of_a_call_a_change_and_an_upgrade(asterisk: Sandbox, phones: Phones, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = company_in(asterisk, tmp_path)
    config.write_text(config.read_text() + f'\n[metrics]\nlisten = "127.0.0.1:{port}"\n')
    await asterisk.console("database deltree comunik-plan")
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    async with serving(config) as service:
        await service.ready()
        await service.said("event=metrics")
        before = await until(port, "comunik_publication_behind_seconds", 0)
        assert (before["comunik_ari_connected"], before["comunik_ami_connected"]) == (1, 1)
        assert before["comunik_info version=0.1.0"] == 1
        assert before["comunik_extensions"] == 15
        assert before["comunik_decision_seconds_count"] == 0
        assert before["process_resident_memory_bytes"] > 0

        assert await answered_by_whom([alice], customer) is alice
        after = await until(port, "comunik_calls_total decided=live status=abandoned", 1)
        assert after["comunik_decision_seconds_count"] == 1
        assert after["comunik_decision_seconds_bucket le=+Inf"] == 1
        assert 0 < after["comunik_decision_seconds_sum"] < 1.5
        assert (after["comunik_calls_open"], after["comunik_calls_undecided"]) == (0, 0)
        assert after["comunik_calls_not_decided_total why=overload"] == 0
        await until(port, "comunik_records_waiting", 0)

        assert await set_rule(config, "102") == (0, "")
        published = before["comunik_published_entries_total"]
        changed = await until(
            port, "comunik_published_entries_total", published + 3
        )  # from outside, inside, and by 102
        assert 0 < changed["comunik_publication_lag_seconds"] < 5
        assert changed["comunik_publication_pending_entries"] == 0

        assert (await figures(port))["comunik_new_outside_targets_total"] == 0
        assert await set_rule(config, "06 12 34 56 78") == (0, "")
        await until(port, "comunik_new_outside_targets_total", 1)
        await service.said('event="new outside target" extension=101 number=+33612345678 rule=always by=cli:')
        assert await set_rule(config, "102") == (0, "")
        assert await set_rule(config, "+33612345678") == (0, "")  # no news any more
        assert await set_rule(config, "+33170000102") == (0, "")  # our own DID
        assert await set_rule(config, "+33612345679") == (0, "")
        await until(port, "comunik_new_outside_targets_total", 2)
        assert sum("new outside target" in line for line in service.lines) == 2

        async with serving(config) as newer:  # an upgrade: the port is still taken when it starts
            await newer.ready()
            await service.ended()
            await newer.said("event=metrics")
            assert (await figures(port))["comunik_new_outside_targets_total"] == 0, "told once, not at every start"
            assert (await until(port, "comunik_ari_connected", 1))["comunik_decision_seconds_count"] == 0
            assert await newer.stop() == 0
