"""The cycle of each country's ringing."""

import re
from pathlib import Path

import pytest

from comunik_pbx.forwarding.cadence import cycle_seconds
from comunik_pbx.sandbox.sandbox import Sandbox

ISO = {"uk": "GB"}


def test_countries_and_the_rest_of_the_world() -> None:
    assert cycle_seconds("FR") == 5.0
    assert cycle_seconds("us") == 6.0
    assert cycle_seconds("GB") == 3.0
    assert cycle_seconds("TN") == 5.0


@pytest.mark.pbx
@pytest.mark.asyncio(loop_scope="session")
async def test_the_table_is_that_of_the_sandboxs_asterisk(sandbox: Sandbox) -> None:
    places = (sandbox.layout.root / "etc/asterisk/indications.conf", Path("/etc/asterisk/indications.conf"))
    (path, *_) = (place for place in places if place.exists())
    sections = re.findall(r"^\[(\w\w)\][^\[]*?^ringcadence *= *([\d,]+)", path.read_text(), re.MULTILINE)
    assert len(sections) > 30
    for country, cadence in sections:
        assert cycle_seconds(ISO.get(country, country)) == sum(map(int, cadence.split(","))) / 1000, country
