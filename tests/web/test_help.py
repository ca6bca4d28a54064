"""The guide within the portal: the same text, at the place of the page one comes from."""

import re

import pytest

from comunik_pbx.accounts.account import Role
from comunik_pbx.web.guide import SECTIONS, guide, to_html
from tests.web.site import Site


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_guide_is_a_page_with_a_place_for_every_page(language: str) -> None:
    html = guide(language)
    assert re.findall(r'<h2 id="([^"]*)"', html) == list(SECTIONS)
    assert html.count("<h2") == len(SECTIONS)
    assert "<table>" in html
    assert "<ol>" in html
    for markdown in ("**", "](", "![", "\n- ", "|"):
        assert markdown not in html, markdown


def test_what_a_guide_may_hold() -> None:
    html = to_html("# A <b>\n\n- one **two**\n  and `x`\n- three\n\nSee [here](https://example.com) or [us](a.md).")
    assert html == (
        "<h1>A &lt;b&gt;</h1>\n<ul><li>one <strong>two</strong> and <code>x</code></li><li>three</li></ul>\n"
        '<p>See <a href="https://example.com">here</a> or us.</p>'
    )


async def test_help_is_in_ones_language_and_about_ones_page(site: Site) -> None:
    alice = await site.signed_in("101", language="fr")
    for page in ("forwarding", "keypad", "profile", "preferences", "security"):
        assert f'href="/help#{page}"' in (await alice.get(f"/{page}")).text
    boss = await site.signed_in("boss", Role.ADMIN)
    assert 'href="/help#admin"' in (await boss.get("/admin/calls")).text
    assert "Guide de l’utilisateur" in (await alice.get("/help")).text
    english = (await alice.get("/help?language=en")).text
    assert '<article class="card guide" lang="en">' in english
    assert "User guide" in english
    stranger = await site.visitor(language="en").get("/help?language=tlh")
    assert (stranger.status_code, "User guide" in stranger.text) == (200, True)


async def test_it_is_printed_with_its_pictures(site: Site) -> None:
    visitor = site.visitor(language="fr")
    assert "<img" not in (await visitor.get("/help")).text
    pictures = re.findall(r'<img src="([^"]+)" alt="[^"]+">', (await visitor.get("/help?pictures=yes")).text)
    assert len(pictures) > 5
    for place in pictures:
        answer = await visitor.get(place)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), place
        assert answer.content.startswith(b"\x89PNG")
    for place in ("nothing.fr.png", "..%2fguide.fr.md", "../guide.fr.md", "keypad.fr.png.bak"):
        assert (await visitor.get(f"/help/screens/{place}")).status_code == 404, place
