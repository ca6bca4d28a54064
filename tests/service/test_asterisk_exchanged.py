"""Asterisk comes back as another version, of which plans would ask too much or too little."""

import asyncio
from typing import Any

import pytest

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.asterisk.errors import AsteriskExchanged
from comunik_pbx.missed_ends import MissedEnds
from comunik_pbx.needed import has_start_time
from tests.asterisk.fake_ari import FakeAri
from tests.forwarding.company import NOW


@pytest.mark.parametrize(
    ("before", "now", "ends"),
    [
        pytest.param("22.10.1", "18.20.0", True, id="Dial() can do less"),
        pytest.param("16.28.0", "22.10.1", True, id="Dial() can do more"),
        pytest.param("22.10.1", "20.9.3", False, id="it can do as much"),
    ],
)
async def test_the_service_ends_if_its_plans_do_not_fit(before: str, now: str, ends: bool) -> None:
    nothing: Any = None
    ami = AmiClient("127.0.0.1", 1, "comunik", "secret")
    async with FakeAri() as asterisk, asterisk.client() as ari:
        missed = MissedEnds(nothing, ari, ami, nothing, nothing, started_at=NOW, gives_up=not has_start_time(before))
        asterisk.version = now
        if not ends:
            await missed.look_at_version()
            return
        with pytest.raises(AsteriskExchanged, match=f"is {now} now, another version than before: start the service"):
            async with asyncio.timeout(3):
                await missed.close()  # which tries again what may pass
