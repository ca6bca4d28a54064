"""An outside number is proven on the pages and by the API; what is asked of the telephone is a stand-in's."""

import msgspec
import pytest

from comunik_pbx.accounts.account import Role
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.forwarding.rules import RuleKind, ToNumber
from tests.web.site import BASE, CODE, MOBILE, Site, Telephone

READ = "06\u00a012\u00a034\u00a056\u00a078"  # as people read it


@pytest.fixture
async def telephone(site: Site) -> Telephone:
    """In a company that asks for proofs."""
    await site.ask_for_proofs()
    return site.telephone


async def test_refused_called_typed_saved(site: Site, telephone: Telephone) -> None:
    alice = await site.signed_in("101")
    refused = await alice.post("/forwarding/external", channel="number", number="06 12 34 56 78", rings="3")
    assert refused.status_code == 422
    assert f"{READ} has not been proven" in refused.text
    assert 'action="/forwarding/external/prove"' in refused.text
    assert 'action="/forwarding/internal/prove"' not in refused.text
    going = await alice.post("/forwarding/external/prove", number="06 12 34 56 78", rings="3", until="")
    assert going.status_code == 303
    assert telephone.called == [("101", "06 12 34 56 78", "portal:101")]
    page = await alice.get(going.headers["location"])
    assert "The code has been said at 06 12 34 56 78" in page.text.replace("\xa0", " ")
    typed = {"number": "06 12 34 56 78", "rings": "3", "until": ""}
    wrong = await alice.post("/forwarding/external/code", **typed, code="11111")
    assert wrong.status_code == 422
    assert "This is not the code that was said at" in wrong.text
    assert (await site.store.rules()).get("101") is None
    right = await alice.post("/forwarding/external/code", **typed, code=" 407 18 ")
    assert right.headers["location"] == "/forwarding?done=proven#external"
    rule = (await site.store.rules())["101"].external
    assert rule is not None
    assert (rule.to, rule.rings, rule.changed_by) == (ToNumber(MOBILE), 3, "portal:101")
    page = await alice.get("/forwarding?done=proven")
    assert "The number is verified and your forwarding is changed." in page.text
    assert "/prove" not in page.text


async def test_a_rule_from_before_is_not_said_to_be_in_force(site: Site, telephone: Telephone) -> None:
    await site.store.set_rule("101", RuleKind.ALWAYS, ToNumber(MOBILE), by="before")
    await site.take_over()
    alice = await site.signed_in("101")
    page = await alice.get("/forwarding?caller=anonymous")
    now = page.text.partition('class="now"')[2].partition("</section>")[0]
    assert "06" not in now
    assert "not verified" in page.text
    assert 'action="/forwarding/always/prove"' in page.text
    assert "has not been proven" in page.text  # the test of the page
    boss = await site.signed_in("boss", role=Role.ADMIN)
    for address in ("/admin", "/admin/extensions/101"):
        assert (await boss.get(address)).text.count(">not verified</span>") == 1, address
    refused = await alice.post("/forwarding/always/on")
    assert refused.status_code == 422
    assert (await alice.post("/forwarding/always/off")).status_code == 303


async def test_what_may_not_be_called_is_said_in_words(site: Site, telephone: Telephone) -> None:
    alice = await site.signed_in("101")
    await alice.get("/forwarding")
    telephone.says = Refusal(RefusalCode.PROOF_CALLS, MOBILE)
    refused = await alice.post("/forwarding/always/prove", number=MOBILE, rings="", until="")
    assert refused.status_code == 422
    assert f"{READ} has been called as often as it may be within an hour: try again later." in refused.text
    assert "No code of" in refused.text
    telephone.says = Refusal(RefusalCode.PROOF_PENDING, MOBILE)
    assert (await alice.post("/forwarding/always/prove", number=MOBILE)).status_code == 303
    assert (await alice.get("/forwarding/always/prove")).headers["location"] == "/forwarding"
    assert (await alice.get("/forwarding/never/prove?number=1")).status_code == 404


@pytest.mark.parametrize("state", ["calling", "ringing", "asked", "said", "unanswered", "unheard", "failed"])
async def test_every_state_is_said_and_may_be_gone_on_from(site: Site, telephone: Telephone, state: str) -> None:
    bruno = await site.signed_in("103", language="fr")
    telephone.states["103", MOBILE] = state
    page = await bruno.get("/forwarding/external/prove?number=0612345678&rings=3&until=")
    assert f'data-state="{state}"' in page.text
    waits = state in ("calling", "ringing", "asked", "said")
    assert ('name="code"' in page.text) is waits
    assert ('action="/forwarding/external/prove"' in page.text) is not waits


async def test_an_administrators_word_is_enough(site: Site, telephone: Telephone) -> None:
    boss = await site.signed_in("101", role=Role.ADMIN)
    await boss.get("/forwarding")
    saved = await boss.post("/forwarding/always", number=MOBILE)
    assert saved.status_code == 303
    (one,) = await site.store.proven.all()
    assert (one.extension, one.number, one.proven_by) == ("101", MOBILE, "portal:101")
    assert telephone.called == []


async def test_by_the_api(site: Site, telephone: Telephone) -> None:
    secret = await site.token("101", "rules:read", "rules:write")
    headers = {"authorization": f"Bearer {secret}", "origin": BASE}
    client = site.client()

    async def ask(method: str, path: str, body: object = None) -> tuple[int, dict[str, str]]:
        answer = await client.request(method, f"/api/v1{path}", headers=headers, json=body)
        return answer.status_code, answer.json()

    status, problem = await ask("PUT", "/rules/always", {"to": MOBILE})
    assert (status, problem["type"]) == (422, "urn:comunik-pbx:refused:unproven")
    assert (await ask("GET", f"/numbers/{MOBILE}/proof"))[0] == 404
    assert await ask("POST", f"/numbers/{MOBILE}/proof") == (202, {"number": MOBILE, "state": "said"})
    assert telephone.called == [("101", MOBILE, "api:101")]
    status, problem = await ask("POST", "/numbers/0612345678/proof/code", {"code": "12345"})
    assert (status, problem["type"]) == (422, "urn:comunik-pbx:refused:wrong-code")
    assert problem["detail"] == f"This is not the code that was said at {MOBILE}."
    status, proven = await ask("POST", "/numbers/0612345678/proof/code", {"code": CODE})
    assert (status, proven["number"], proven["proven_by"]) == (200, MOBILE, "api:101")
    assert (await client.get("/api/v1/numbers", headers=headers)).json() == [proven]
    assert (await ask("PUT", "/rules/always", {"to": MOBILE}))[0] == 200
    telephone.says = Refusal(RefusalCode.COUNTRY, MOBILE)
    assert (await ask("POST", f"/numbers/{MOBILE}/proof"))[1]["type"] == "urn:comunik-pbx:refused:country"
    reader = {"authorization": f"Bearer {await site.token('103', 'rules:read')}"}
    assert (await client.post(f"/api/v1/numbers/{MOBILE}/proof", headers=reader)).status_code == 403


async def test_anothers_code_is_not_ones_own(site: Site, telephone: Telephone) -> None:
    """Bruno has the number called; Alice, who knows the number and the code too, gets nothing by them."""
    bruno, alice = await site.signed_in("103"), await site.signed_in("101")
    await bruno.get("/forwarding")
    assert (await bruno.post("/forwarding/always/prove", number=MOBILE)).status_code == 303
    headers = {"authorization": f"Bearer {await site.token('101', 'rules:read', 'rules:write')}"}
    client = site.client()
    assert (await client.get(f"/api/v1/numbers/{MOBILE}/proof", headers=headers)).status_code == 404
    typed = await client.post(f"/api/v1/numbers/{MOBILE}/proof/code", headers=headers, json={"code": CODE})
    assert (typed.status_code, typed.json()["type"]) == (422, "urn:comunik-pbx:refused:no-code")
    await alice.get("/forwarding")
    assert 'data-state="said"' not in (await alice.get(f"/forwarding/always/prove?number={MOBILE}")).text
    assert (await alice.post("/forwarding/always/code", number=MOBILE, code=CODE)).status_code == 422
    assert await site.store.proven.all() == []
    assert (await bruno.post("/forwarding/always/code", number=MOBILE, code=CODE)).status_code == 303
    assert (await client.get("/api/v1/numbers", headers=headers)).json() == []


async def test_a_default_of_the_configuration_needs_none(site: Site, telephone: Telephone) -> None:
    """102's locked rule leads to a mobile."""
    bruno = await site.signed_in("102")
    page = await bruno.get("/forwarding")
    assert "/prove" not in page.text
    assert "not verified" not in page.text
    directory = site.app.state.needs.rules.directory()
    assert directory.proven == {"102": frozenset({MOBILE})}
    assert msgspec.structs.replace(directory, proven=None) == directory.trusting()
