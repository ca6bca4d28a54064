from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comunik_pbx.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "comunik.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{path}") as opened:
        yield opened
