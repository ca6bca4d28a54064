"""`check --live`, `reload` and what `init` writes, on the sandbox's real Asterisk and service."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX
from tests.stories.company import trunks_say

pytestmark = PBX


async def command(config: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comunik_pbx.cli", *arguments),
        env={**os.environ, "COMUNIK_PBX_CONFIG": str(config)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()


def copy(sandbox: Sandbox, directory: Path, *changes: tuple[str, str]) -> Path:
    """The company's configuration in another place, changed."""
    text = sandbox.config.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    for name in ("ari.secret", "ami.secret"):
        (directory / name).write_bytes((sandbox.config.parent / name).read_bytes())
        (directory / name).chmod(0o600)
    (directory / "comunik.toml").write_text(text)
    return directory / "comunik.toml"


async def test_everything_is_found(sandbox: Sandbox) -> None:
    status, out, err = await command(sandbox.config, "check", "--live", "--json")
    assert (status, err) == (0, "")
    words = {finding["subject"]: finding["words"] for finding in json.loads(out)["live"]}
    assert list(words) == [
        "store",
        "ARI",
        "modules",
        "service",
        "endpoints",
        "AMI",
        "dialplan",
        "mailboxes",
        "connected lines",
    ]
    assert words["service"] == "connected to Asterisk as comunik-pbx"


async def test_names_asterisk_does_not_know_are_each_said(sandbox: Sandbox, tmp_path: Path) -> None:
    changes = (('"102@default"', '"992@default"'), ('endpoints = ["103"]', 'endpoints = ["nosuch"]'))
    status, _, err = await command(copy(sandbox, tmp_path, *changes), "check", "--live")
    assert status == 1
    assert [line.partition(";")[0] for line in err.splitlines()] == [
        'extensions.103.endpoints: Asterisk has no PJSIP endpoint "nosuch"',
        'extensions.102.mailbox: Asterisk has no mailbox "992@default"',
    ]


async def test_a_trunk_that_tells_who_was_reached(sandbox: Sandbox) -> None:
    async with trunks_say(sandbox, "send_connected_line = yes", "send_connected_line = no"):
        status, _, err = await command(sandbox.config, "check", "--live")
    assert status == 1
    assert 'trunks.carrier.endpoints: tells who was reached; right: "send_connected_line = no"' in err
    assert "trust_connected_line" not in err


async def test_a_dialplan_from_before_numbers_were_proven(sandbox: Sandbox, tmp_path: Path) -> None:
    proving = copy(sandbox, tmp_path, ("[forwarding]\n", "[forwarding]\nprove_numbers = true\n"))
    assert (await command(proving, "check", "--live"))[0] == 0
    await sandbox.console("dialplan remove context comunik-prove")
    try:
        status, _, err = await command(proving, "check", "--live")
        assert status == 1
        assert err.startswith("dialplan context comunik-prove: is not loaded; right: ")
        assert (await command(sandbox.config, "check", "--live"))[0] == 0, "where no proof is asked for"
    finally:
        await sandbox.console("dialplan reload")


async def test_a_wrong_password(sandbox: Sandbox, tmp_path: Path) -> None:
    main = copy(sandbox, tmp_path)
    (tmp_path / "ari.secret").write_text("wrong\n")
    status, _, err = await command(main, "check", "--live")
    assert status == 1
    assert "refuses user 'comunik': check ari_user and its password against ari.conf" in err


async def test_reload(sandbox: Sandbox) -> None:
    status, out, err = await command(sandbox.config, "reload")
    assert (status, err) == (0, "")
    assert re.fullmatch(rf"reloaded: process \d+ now works with {re.escape(str(sandbox.config))}\n", out)


async def test_access_as_init_writes_it_is_enough(sandbox: Sandbox, tmp_path: Path) -> None:
    main = copy(
        sandbox,
        tmp_path,
        ('ari_user = "comunik"', 'ari_user = "fresh"'),
        ('ami_user = "comunik"', 'ami_user = "fresh"'),
    )
    for name in ("ari.secret", "ami.secret"):
        (tmp_path / name).write_text("a;secret-of-its-own\n")
    written = tmp_path / "written"
    status, _, err = await command(main, "init", str(written), "--config", str(main))
    assert (status, err) == (0, "")
    before = {name: (sandbox.layout.etc / name).read_text() for name in ("ari.conf", "manager.conf")}
    try:
        for name, text in before.items():
            (sandbox.layout.etc / name).write_text(f'{text}\n#include "{written}/asterisk/{name}"\n')
        await sandbox.console("module reload res_ari")
        await sandbox.console("manager reload")
        status, out, err = await command(main, "check", "--live")
        assert (status, err) == (0, "")
        assert "mailboxes: all 10 exist" in out
    finally:
        for name, text in before.items():
            (sandbox.layout.etc / name).write_text(text)
        await sandbox.console("module reload res_ari")
        await sandbox.console("manager reload")
