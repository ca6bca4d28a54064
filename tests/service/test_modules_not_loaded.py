"""An Asterisk without what calls need: the service refuses to start, `check --live` says the same."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio

from comunik_pbx.needed import ALWAYS, CONFIRMATION, PROMPTS, VOICEMAIL, Need
from comunik_pbx.sandbox.asterisk_process import AsteriskProcess
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX
from tests.service.serving import applications, company_in, serving

pytestmark = PBX

DIALPLAN = Path(__file__).parents[2] / "dialplan"

ALL = (*ALWAYS, VOICEMAIL, CONFIRMATION, PROMPTS)

ASKED_BY_ARI_ITSELF = "res_ari_channels"
"""Without it ARI refuses the first request about a channel, as it does where it is disabled."""


async def restart(sandbox: Sandbox) -> None:
    await sandbox.asterisk.stop()
    sandbox.asterisk = await AsteriskProcess.start(sandbox.layout, sandbox.asterisk.program)
    sandbox.describe()


@asynccontextmanager
async def without(sandbox: Sandbox, modules: Collection[str]) -> AsyncIterator[None]:
    """Asterisk as it is when modules.conf says `noload` of these."""
    conf = sandbox.layout.etc / "modules.conf"
    before = conf.read_text()
    try:
        conf.write_text(before + "".join(f"noload = {module}.so\n" for module in modules))
        await restart(sandbox)
        yield
    finally:
        conf.write_text(before)
        await restart(sandbox)


def confirming(sandbox: Sandbox, directory: Path) -> Path:
    """The company, whose forwards must be confirmed and which plays prompts."""
    changes = (
        ("[trunks.carrier]\n", "[trunks.carrier]\nconfirm = true\n"),
        ("[forwarding]", "[prompts]\nenabled = true\n[forwarding]"),
    )
    return company_in(sandbox, directory, *changes)


# Before those without modules: their Asterisk lasts to the end of this file.


async def test_an_asterisk_that_has_all_serves(alone: Sandbox, tmp_path: Path) -> None:
    async with serving(confirming(alone, tmp_path)) as service:
        await service.ready()
        assert "comunik-pbx" in await applications(alone)
        await service.stop()


async def test_an_ami_user_without_the_right_to_write(alone: Sandbox, tmp_path: Path) -> None:
    conf = alone.layout.etc / "manager.conf"
    before = conf.read_text()
    try:
        conf.write_text(re.sub("^write = .*", "write = reporting", before, flags=re.MULTILINE))
        await alone.console("manager reload")
        async with serving(company_in(alone, tmp_path)) as service:
            assert await service.ended() == 1
    finally:
        conf.write_text(before)
        await alone.console("manager reload")
    assert service.words == [
        "AMI user 'comunik' may not use DBPut, DBDel; right: \"write = system,reporting\" for it in manager.conf, then "
        "`manager reload`"
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bare(alone: Sandbox) -> AsyncIterator[Sandbox]:
    """An Asterisk with the applications and functions of its core, and nothing else that we need."""
    loaded = re.findall(r"^((?:app|func)_\w+)\.so", await alone.console("module show"), re.MULTILINE)
    table = {module for need in ALL for module in need.modules}
    async with without(alone, (table | set(loaded)) - {ASKED_BY_ARI_ITSELF}):
        yield alone


def modules_named(lines: list[str]) -> list[str]:
    return [match[1] for line in lines if (match := re.search(r"Asterisk has not loaded ([\w ]+), which", line))]


def sentence(need: Need) -> str:
    return " or ".join(need.modules)


async def test_each_module_is_named_at_once(bare: Sandbox, tmp_path: Path) -> None:
    config = confirming(bare, tmp_path)
    async with serving(config) as service:
        assert await service.ended() == 1
    assert service.lines == service.words, "it got as far as serving"
    expected = [sentence(need) for need in ALL if need.modules != (ASKED_BY_ARI_ITSELF,)]
    assert modules_named(service.words) == expected
    assert len(service.words) == len(expected)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comunik_pbx.cli", "check", "--live", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    said = [line for line in err.decode().splitlines() if line.startswith("modules: ")]
    assert [line.removeprefix("modules: ") for line in said] == service.words


async def test_only_what_the_configuration_uses_is_needed(bare: Sandbox, tmp_path: Path) -> None:
    async with serving(company_in(bare, tmp_path)) as service:
        assert await service.ended() == 1
    named = modules_named(service.words)
    assert sentence(VOICEMAIL) in named, "extensions have mailboxes"
    assert sentence(CONFIRMATION) not in named
    assert sentence(PROMPTS) not in named


async def test_the_table_is_what_the_dialplan_uses(bare: Sandbox) -> None:
    """What those modules bring is gone with them; all else the dialplan uses is of Asterisk's core."""
    applications, functions = used()
    brought = {name for need in ALL for name in re.findall(r"(\w+)\(\)", need.gives)}
    assert brought <= applications | functions, "needed by nothing"
    for kind, names in (("application", applications), ("function", functions)):
        for name in sorted(names):
            there = f"'{name}'" in await bare.console(f"core show {kind} {name}")
            assert there == (name not in brought), f"{kind} {name}"


def used() -> tuple[set[str], set[str]]:
    """The applications and functions in dialplan/."""
    applications: set[str] = set()
    functions: set[str] = set()
    for path in sorted(DIALPLAN.glob("*.conf")):
        for line in path.read_text().splitlines():
            if line.lstrip().startswith(";") or "=>" not in line:
                continue
            found = re.match(r"\s*(?:exten|same) => (?:[^,]+,)?(?:n|\d+)(?:\([\w-]+\))?,(\w+)\(", line)
            assert found, line
            applications.add(found[1])
            if found[1] == "ExecIf":
                applications.update(re.findall(r"[?:](\w+)\(", line))
            functions.update(re.findall(r"\b([A-Z][A-Z_]+)\(", line[found.end() :]))
    return applications, functions
