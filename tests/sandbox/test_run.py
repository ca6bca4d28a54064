"""`make run` starts the service again when it dies, unless another took over."""

import asyncio

import pytest

from comunik_pbx.sandbox import run
from comunik_pbx.service import REPLACED


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
