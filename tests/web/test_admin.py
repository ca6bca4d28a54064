"""What administrators see, and the numbers they allow."""

from datetime import UTC, datetime
from html import unescape

import pytest

from comunik_pbx.accounts.account import Role
from comunik_pbx.store import CallRow
from tests.web.site import Site

LONDON = "+44 20 7946 0000"


async def test_everybody_is_listed_found_and_shown(site: Site) -> None:
    alice, boss = await site.signed_in("101"), await site.signed_in("boss", Role.ADMIN)
    await alice.post("/forwarding/internal", channel="extension", extension="103", rings="2")
    everybody = unescape((await boss.get("/admin")).text)
    for words in ("Alice Martin", "Bruno Petit", "06\u00a012\u00a034", "2 rings ≈ 10 s", "locked", "comunik.toml"):
        assert words in everybody, words
    found = (await boss.get("/admin?find=bruno")).text
    assert ("Bruno Petit" in found, "Alice Martin" in found) == (True, False)
    assert "Alice Martin" in (await boss.get("/admin?find=%2B33170000191")).text
    one = unescape((await boss.get("/admin/extensions/101")).text)
    assert "portal:101" in one
    assert "a default of the configuration" in one
    assert (await boss.get("/admin/extensions/199")).status_code == 404
    for find in ("BRUNO", "brúno", "01 70 00 01 91"):
        assert (await boss.client.get("/admin", params={"find": find})).text.count('scope="row"') == 1, find


async def test_a_rule_of_the_configuration_names_its_file_and_key(site: Site) -> None:
    boss = await site.signed_in("boss", Role.ADMIN)
    page = unescape((await boss.get("/admin/extensions/102")).text)
    file = site.app.state.needs.rules.files()[0]
    assert f"<code>{file}</code> <code>[extensions.102.forward.always]</code>" in page
    assert "locked" in page


async def test_who_changed_what_of_everybody(site: Site) -> None:
    alice, boss = await site.signed_in("101"), await site.signed_in("boss", Role.ADMIN)
    await alice.post("/forwarding/internal", channel="extension", extension="103", rings="2")
    await alice.post("/forwarding/internal/off")
    await boss.get("/admin/numbers")
    await boss.post("/admin/numbers", number=LONDON, name="London office", comment="")
    page = unescape((await boss.get("/admin/changes")).text)
    for words in ("Alice Martin", "103, 2 rings ≈ 10 s", "103, 2 rings ≈ 10 s, off", "portal:101"):
        assert words in page, words
    for words in ("Allowed numbers changed", "+442079460000 on", "portal:boss", "An invitation was sent", "192.0.2.1"):
        assert words in page, words


async def test_an_outside_number_used_for_the_first_time_is_marked(site: Site) -> None:
    alice, boss = await site.signed_in("101"), await site.signed_in("boss", Role.ADMIN)
    await alice.post("/forwarding/external", channel="number", number="06 12 34 56 78", rings="3")
    await alice.post("/forwarding/external/off")
    for address in ("/admin/changes", "/admin/extensions/101"):
        assert (await boss.get(address)).text.count(">new number</span>") == 1, address


async def test_recorded_reasons_are_read_in_ones_language(site: Site) -> None:
    boss = await site.signed_in("boss", Role.ADMIN, language="fr")
    why = "outside calls to 101 go to +33612345678 after 3 rings (15 s)"
    trace = [
        {"extension": "101", "rule": "always", "version": 1, "followed": False, "why": "off"},
        {"extension": "101", "rule": "external", "version": 1, "followed": True, "why": why},
    ]
    plan = [{"kind": "ring", "extension": "101", "endpoints": ["101"], "rings": 3, "seconds": 15.0}]
    call = CallRow(
        id="1.1",
        started_at=datetime.now(UTC),
        caller="+33140000000",
        called="101",
        extension="101",
        origin="external",
        decided="live",
        plan=plan,
        trace=trace,
    )
    await site.store.put_calls([call])
    page = unescape((await boss.get("/admin/calls")).text).replace("\u00a0", " ")
    assert "<details open>" in page  # in progress: its plan is shown
    for words in (
        "101 Alice Martin sonne : 3 sonneries, environ 15 s",
        "renvoi permanent non suivi : le renvoi est désactivé",
        "les appels externes au 101 vont vers 06 12 34 56 78 après 3 sonneries (15 s)",
    ):
        assert words in page, words


async def test_a_number_is_allowed_switched_off_and_removed(site: Site) -> None:
    alice, boss = await site.signed_in("101"), await site.signed_in("boss", Role.ADMIN)
    fields = {"channel": "number", "number": LONDON, "rings": "3"}
    assert (await alice.post("/forwarding/external", **fields)).status_code == 422
    await boss.get("/admin/numbers")
    added = await boss.post("/admin/numbers", number=LONDON, name="London office", comment="until spring")
    assert added.status_code == 303, added.text
    await site.take_over()
    assert (await alice.post("/forwarding/external", **fields)).status_code == 303
    page = unescape((await boss.get("/admin/numbers")).text)
    for words in ("London office", "until spring", "portal:boss", "+33899*"):
        assert words in page, words
    assert "London" not in (await boss.get("/admin/numbers?find=paris")).text
    path = "/admin/numbers/+442079460000"
    assert (await boss.post(f"{path}/off")).status_code == 303
    await site.take_over()
    assert "in a country" in unescape((await alice.post("/forwarding/external", **fields)).text)
    assert (await boss.post(f"{path}/remove")).status_code == 303
    assert (await boss.post(f"{path}/remove")).status_code == 404
    assert [line.detail for line in await site.store.accounts.audit("")] == [
        "+442079460000 removed",
        "+442079460000 off",
        "+442079460000 on",
    ]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("12", "not a telephone number"),
        ("+33899123456", "premium-rate"),
        ("112", "not a telephone number"),
    ],
)
async def test_numbers_that_are_never_allowed(site: Site, number: str, words: str) -> None:
    boss = await site.signed_in("boss", Role.ADMIN)
    await boss.get("/admin/numbers")
    answer = await boss.post("/admin/numbers", number=number, name="x", comment="")
    assert (answer.status_code, words in unescape(answer.text)) == (422, True)
    assert await site.store.allow_list.all() == []
