"""`check` lists all that is wrong at once; --live tries what the configuration names."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AmiActionFailed, AmiRefused, AmiUnreachable, AriError, AriUnreachable
from comunik_pbx.needed import ALWAYS, VOICEMAIL
from tests.cli.conftest import Run


def test_good(run: Run, main: Path) -> None:
    assert run("check").good == f"{main}: good: 4 extensions, 2 trunks, 2 DIDs, 2 default rules"
    assert json.loads(run("check", "--json").good) == {"ok": True, "problems": [], "notes": [], "live": []}


def test_every_problem_on_standard_error(run: Run, main: Path) -> None:
    main.write_text(main.read_text().replace("rings = 4", "rings = 99").replace("language", "langage"))
    said = run("check")
    assert said.refusal.splitlines() == [
        f"{main}: langage: unknown key; right: did you mean language?",
        f"{main}: extensions.101.forward.external.rings: is 99; right: a whole number from 0 to 12",
        "2 problems; nothing else was tried",
    ]
    assert not said.out
    problems = json.loads(run("check", "--json").out)["problems"]
    assert problems[0] == {
        "file": str(main),
        "key": "langage",
        "what": "unknown key",
        "right": "did you mean language?",
    }


def test_notes_are_not_problems(run: Run, main: Path) -> None:
    (main.parent / "ari.secret").chmod(0o644)
    assert f"note: {main.parent}/ari.secret: every user of this machine may read this secret" in run("check").good


def test_no_configuration(run: Run, main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = main.parent / "none.toml"
    said = run("check", "--config", str(missing))
    assert said.refusal.splitlines()[0].startswith(f"{missing}: does not exist")
    monkeypatch.delenv("COMUNIK_PBX_CONFIG")
    monkeypatch.setattr("comunik_pbx.config.loading.USUAL_PATH", missing)
    assert run("check").refusal.startswith(f"no configuration: {missing} does not exist; name one by --config FILE")


OLD_DIAL = "; while the service is away, silent trunks are given up by SIP alone, after 32 s"


class Asterisk:
    """What the fake Asterisk has; a test takes something away."""

    endpoints = frozenset({"carrier", "backup", "101", "alice-mobile", "102", "103", "104"})
    contexts = frozenset({"comunik-incoming", "comunik-execute"})
    mailboxes = frozenset({"101@default"})
    options: Mapping[str, str] = MappingProxyType({})
    """What PJSIP_ENDPOINT(name,option) or DEVICE_STATE(PJSIP/name) say, `no` for others."""
    modules = frozenset(module for need in (*ALWAYS, VOICEMAIL) for module in need.modules)
    actions = frozenset({"DBPut", "DBDel", "DBGetTree", "Getvar"})
    version = "22.10.1"
    ari_error: AriError | None = None
    ami_error: Exception | None = None


@pytest.fixture
def asterisk(monkeypatch: pytest.MonkeyPatch) -> Asterisk:
    """Asterisk as the clients of `comunik_pbx.asterisk` present it."""
    fake = Asterisk()

    async def check(self: object) -> str:
        if fake.ari_error:
            raise fake.ari_error
        return fake.version

    async def request(self: object, method: str, path: str, data: bytes | None = None) -> bytes:
        name = path.rpartition("/")[2]
        if path.startswith("/endpoints/") and name not in fake.endpoints:
            raise AriError(f"{method} {path}: HTTP 404 Endpoint not found")
        if path.startswith("/applications/"):
            raise AriError(f"{method} {path}: HTTP 404 Application not found")
        if path == "/asterisk/modules":
            return json.dumps([{"name": f"{name}.so", "status": "Running"} for name in fake.modules]).encode()
        return b"{}"

    async def log_in(self: object) -> frozenset[str]:
        if isinstance(fake.ami_error, AmiUnreachable | AmiRefused):
            raise fake.ami_error
        return fake.actions

    async def action(self: object, name: str, **headers: str) -> dict[str, str]:
        if fake.ami_error:
            raise fake.ami_error
        if name == "ListCommands":
            return dict.fromkeys(fake.actions, "")
        function, _, arguments = headers["Variable"].partition("(")
        if function == "DEVICE_STATE" and arguments.removeprefix("PJSIP/").rstrip(")") not in fake.endpoints:
            return {"value": "INVALID"}
        if function in ("DEVICE_STATE", "PJSIP_ENDPOINT"):
            return {"value": fake.options.get(arguments.rstrip(")"), "no")}
        known = fake.contexts if function == "DIALPLAN_EXISTS" else fake.mailboxes
        return {"value": "1" if arguments.partition(",")[0] in known else "0"}

    monkeypatch.setattr(AriClient, "check", check)
    monkeypatch.setattr(AriClient, "request", request)
    monkeypatch.setattr(AmiClient, "check", log_in)
    monkeypatch.setattr(AmiClient, "action", action)
    return fake


def test_live_all_good(run: Run, asterisk: Asterisk) -> None:
    lines = run("check", "--live").good.splitlines()[1:]
    assert lines == [
        "store: rules of 0 extensions",
        "ARI: Asterisk 22.10.1 at http://127.0.0.1:8088/ari",
        "modules: all that calls need are loaded",
        "service: not connected to Asterisk now: calls ring and go to voicemail as by default",
        "endpoints: all 7 are known to Asterisk",
        "AMI: logged in at 127.0.0.1:5038",
        "dialplan: comunik-incoming and comunik-execute are loaded",
        "mailboxes: all 1 exist",
        "connected lines: stay on their side of each trunk",
    ]


AGI = '[agi]\nlisten = "127.0.0.1:1"\n'


def test_live_without_ari(run: Run, main: Path, asterisk: Asterisk) -> None:
    main.write_text(main.read_text().replace("[asterisk]\n", AGI + "[asterisk]\nari = false\n"))
    (main.parent / "ari.secret").unlink()
    asterisk.contexts |= {"comunik-agi"}
    assert run("check", "--live").good.splitlines()[1:] == [
        "store: rules of 0 extensions",
        "service: nobody listens at 127.0.0.1:1 now: calls ring and go to voicemail as by default",
        "AMI: logged in at 127.0.0.1:5038",
        "endpoints: all 7 are known to Asterisk",
        "dialplan: comunik-incoming and comunik-execute are loaded",
        "mailboxes: all 1 exist",
        "connected lines: stay on their side of each trunk",
    ]
    asterisk.endpoints -= {"alice-mobile"}
    assert run("check", "--live").refusal.splitlines() == [
        'extensions.101.endpoints: Asterisk has no PJSIP endpoint "alice-mobile"; '
        "right: add it to pjsip.conf, or correct the name"
    ]


def test_live_a_dialplan_of_before_agi(run: Run, main: Path, asterisk: Asterisk) -> None:
    right = "; right: `comunik-pbx init DIR --force`, then `dialplan reload`"
    where = "dialplan context comunik-incoming"
    main.write_text(main.read_text() + AGI)
    said = f"{where}: does not ask by AGI, unlike what agi.listen says{right}"
    assert run("check", "--live").refusal.splitlines() == [said]
    main.write_text(main.read_text().replace(AGI, ""))
    asterisk.contexts |= {"comunik-agi"}
    assert run("check", "--live").refusal.splitlines() == [said.replace("does not ask", "asks")]


def test_live_names_asterisk_does_not_know(run: Run, asterisk: Asterisk) -> None:
    asterisk.endpoints -= {"alice-mobile", "backup"}
    asterisk.contexts -= {"comunik-execute"}
    asterisk.mailboxes = frozenset()
    reasons = run("check", "--live").refusal.splitlines()
    assert [reason.partition("; right")[0] for reason in reasons] == [
        'trunks.backup.dial: Asterisk has no PJSIP endpoint "backup"',
        'extensions.101.endpoints: Asterisk has no PJSIP endpoint "alice-mobile"',
        "dialplan context comunik-execute: is not loaded",
        'extensions.101.mailbox: Asterisk has no mailbox "101@default"',
    ]


def test_live_trunks_that_tell_who_was_reached(run: Run, asterisk: Asterisk) -> None:
    asterisk.options = {
        "backup,trust_connected_line": "true",
        "PJSIP/carrier": "INVALID",
        "carrier,send_connected_line": "yes",
    }
    assert run("check", "--live").refusal == (
        "trunks.backup.dial: tells who was reached; "
        'right: "trust_connected_line = no" for endpoint backup in pjsip.conf'
    )


def test_live_modules_that_are_not_loaded(run: Run, asterisk: Asterisk) -> None:
    asterisk.modules -= {"app_stack", "app_voicemail", "app_voicemail_odbc", "app_voicemail_imap"}
    asterisk.mailboxes = frozenset()  # nobody can say
    assert run("check", "--live").refusal.splitlines() == [
        "modules: Asterisk has not loaded app_stack, which calls need for Gosub(), GosubIf(), Return(); right: no "
        "`noload` of it in modules.conf, the package installed that has it, then `module load app_stack.so`",
        "modules: Asterisk has not loaded app_voicemail or app_voicemail_odbc or app_voicemail_imap, which calls need "
        "for VoiceMail(), VM_INFO(); right: no `noload` of it in modules.conf, the package installed that has it, "
        "then `module load app_voicemail.so`",
    ]


def test_live_one_voicemail_is_enough(run: Run, asterisk: Asterisk) -> None:
    asterisk.modules -= {"app_voicemail", "app_voicemail_imap"}
    assert "modules: all that calls need are loaded" in run("check", "--live").good


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("22.10.1", ""),
        ("16.28.0~dfsg-0+deb11u4", OLD_DIAL),
        ("20.17.0", "; tested are 16.28 and 22.10"),
        (
            "21.1.0",
            "; tested are 16.28 and 22.10" + OLD_DIAL,
        ),
        ("GIT-master-abc", "; tested are 16.28 and 22.10"),
    ],
)
def test_live_says_what_is_known_of_the_version(run: Run, asterisk: Asterisk, version: str, words: str) -> None:
    asterisk.version = version
    assert f"ARI: Asterisk {version} at http://127.0.0.1:8088/ari{words}" in run("check", "--live").good.splitlines()


def test_live_an_asterisk_without_an_action(run: Run, asterisk: Asterisk) -> None:
    asterisk.version, asterisk.actions = "18.10.0", asterisk.actions - {"DBGetTree"}
    assert run("check", "--live").refusal == (
        "AMI: Asterisk 18.10.0 has no AMI action DBGetTree, by which published plans are read back: it came with "
        "16.28, 18.14 and 19.6; right: upgrade Asterisk"
    )


def test_live_an_ami_user_without_the_right_to_write(run: Run, asterisk: Asterisk) -> None:
    asterisk.actions = frozenset({"Ping"})
    assert run("check", "--live").refusal == (
        "AMI: AMI user 'comunik' may not use DBPut, DBDel, DBGetTree; right: \"write = system,reporting\" for it in "
        "manager.conf, then `manager reload`"
    )


def test_live_asterisk_not_there(run: Run, asterisk: Asterisk) -> None:
    asterisk.ari_error = AriUnreachable("no Asterisk at URL: is it running?")
    asterisk.ami_error = AmiUnreachable("no AMI at HOST: is it running?")
    assert run("check", "--live").refusal.splitlines() == [
        "ARI: no Asterisk at URL: is it running?",
        "AMI: no AMI at HOST: is it running?",
    ]


def test_live_ami_refuses(run: Run, asterisk: Asterisk) -> None:
    asterisk.ami_error = AmiRefused("AMI at HOST refuses user 'comunik': check ami_user")
    assert run("check", "--live").refusal == "AMI: AMI at HOST refuses user 'comunik': check ami_user"


def test_live_ami_user_may_not_look(run: Run, asterisk: Asterisk) -> None:
    asterisk.ami_error = AmiActionFailed("Permission denied")
    assert run("check", "--live").refusal == (
        "AMI: dialplan and mailboxes could not be looked at: Permission denied; "
        'right: "write = system,reporting" for user comunik in manager.conf'
    )
