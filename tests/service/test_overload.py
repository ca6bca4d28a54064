"""More calls at once than the service takes on, on the real Asterisk: each goes where the rules say all the same."""

import re
import sys
from collections import Counter
from pathlib import Path

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.store import Store
from tests.pbx import PBX
from tests.service.serving import company_in, serving

pytestmark = PBX

CALLS = 150

# A service that takes on two calls at a time, and often collects the ends of those that it did not decide.
SMALL = """
import sys
from functools import partial
from pathlib import Path
from comunik_pbx import service
from comunik_pbx.calls import kept_ends
kept_ends.COLLECT_SECONDS = 1.0
service.Interception = partial(service.Interception, most_calls=2)
sys.exit(service.run(Path(sys.argv[1])))
"""


async def test_a_burst_beyond_capacity_goes_by_the_published_plans(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    config.write_text(config.read_text() + '[extensions.111.forward.external]\nto = "112"\nrings = 1\n')
    async with serving(config, (sys.executable, "-c", SMALL, str(config))) as service:
        await service.ready()
        await service.said("fallback plans published")
        async with sipp.caller(asterisk, "111", calls=CALLS, per_second=1000) as callers:
            assert await callers.finished() == 0
            told = {
                m.call_id: m.status for m in callers.messages if m.for_method == "INVITE" and (m.status or 0) >= 200
            }
        assert Counter(told.values()) == {480: CALLS}, "nobody is there, and everybody is told so"
        await service.said("event=call ", times=CALLS)
        by = Counter(re.findall(r"decided=(\w+)", "\n".join(service.lines)))
        assert by["live"] + by["published"] == CALLS
        assert by["live"] > 0
        assert by["published"] > CALLS / 10
        assert any("too many calls at once" in line for line in service.lines)
        assert await service.stop() == 0
    async with await Store.open(f"sqlite:///{tmp_path}/comunik.db") as store:
        rows = await store.calls(limit=2 * CALLS)
    assert len(rows) == CALLS
    assert {tuple(step["extension"] for step in row.plan if step["kind"] == "ring") for row in rows} == {("111", "112")}
