"""`make run` starts the service again when it dies, unless another took over; and says how to enter the portal."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from comunik_pbx.sandbox import run
from comunik_pbx.sandbox.company import Secrets, load_secrets, write_private
from comunik_pbx.sandbox.layout import Addresses, Layout
from comunik_pbx.service import REPLACED
from comunik_pbx.web import passwords
from tests.web.conftest import site_of


class Process:
    """Ends at once with a status."""

    def __init__(self, status: int) -> None:
        self._status = status

    async def wait(self) -> int:
        return self._status


class Sandbox:
    """Starts services that end with these statuses."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.service = Process(self._statuses.pop(0))
        self.started = 1

    async def start_service(self) -> None:
        self.service = Process(self._statuses.pop(0))
        self.started += 1


async def test_a_service_that_was_replaced_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "FIRST_PAUSE_SECONDS", 0.001)
    sandbox = Sandbox(1, -9, REPLACED)
    keeping = asyncio.create_task(run._keep_service(sandbox))  # type: ignore[arg-type]
    done, _ = await asyncio.wait([keeping], timeout=0.2)
    assert not done
    keeping.cancel()
    await asyncio.wait([keeping])
    assert sandbox.started == 3
    assert capsys.readouterr().out.splitlines()[-1] == "another service took over: this one is not started again"


class Company:
    """A sandbox of which only the configuration and the passwords are there."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.passwords = Secrets(ari="", ami="", phones={}, portal={"101": "pK2-d9_xQwz4", "boss": "V7t_aa31-mNq"})


async def test_the_accounts_it_prints_work_and_one_that_was_changed_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site_of(tmp_path) as site:
        company = Company(tmp_path / "comunik.toml")
        for _ in range(2):  # another start finds them
            await run.demo_accounts(company)  # type: ignore[arg-type]
            said = capsys.readouterr().out
            for name, page in (("101", "/forwarding"), ("boss", "/admin")):
                password = re.search(rf"sign in as {name} \(\w+\), password (\S+)", said)
                assert password, said
                visitor = site.visitor()
                assert (await visitor.post("/sign-in", name=name, password=password[1])).status_code == 303
                assert (await visitor.get(page)).status_code == 200
        chosen = await passwords.hashed("correcte cheval pile agrafe")
        await site.store.accounts.set_password("101", chosen, at=datetime.now(UTC), address="")
        await run.demo_accounts(company)  # type: ignore[arg-type]
        assert "user invite 101 --config" in capsys.readouterr().out


def test_a_sandbox_from_before_gets_passwords_for_the_portal(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path, Addresses())
    write_private(layout.company / "secrets.json", '{"ari": "a", "ami": "b", "phones": {"101": "c"}}')
    made = load_secrets(layout)
    assert (made.ari, made.phones, sorted(made.portal)) == ("a", {"101": "c"}, ["101", "boss"])
    assert load_secrets(layout) == made
