"""Whatever programs send to the API of the running service: never an answer 500, and always one that is described.

schemathesis makes it of the description: each example, each bound of each field, whatever is not allowed, and chains of
operations of which one needs what another has made. (`tests/fuzz/test_portal.py` sends what no description tells of.)
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from comunik_pbx.accounts.account import SCOPES, Role, Token
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.store.accounts import fingerprint
from tests.pbx import PBX
from tests.stories.company import Company

pytestmark = PBX

UNCHECKED = "positive_data_acceptance"
"""Numbers and passwords of the right shape may be refused all the same."""


async def test_no_500_and_nothing_undescribed(sandbox: Sandbox, company: Company, tmp_path: Path) -> None:
    accounts, secret, now = company.store.accounts, "cpbx_schemathesis", datetime.now(UTC)
    await accounts.invite("101", Role.ADMIN, "x" * 43, now, by="test", at=now)
    await accounts.put_token(
        Token(id=fingerprint(secret), account="101", label="test", scopes=SCOPES, created_at=now), by="test"
    )
    addresses = sandbox.layout.addresses
    url = f"http://{addresses.host}:{addresses.portal}/api/v1/openapi.json"
    program = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        url,
        "--header",
        f"Authorization: Bearer {secret}",
        "--checks",
        "all",
        "--exclude-checks",
        UNCHECKED,
        "--max-examples",
        "3",
        "--phases",
        "examples,coverage,stateful",
        "--continue-on-failure",
        "--generation-database",
        "none",
        "--seed",
        "42",
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(program.communicate(), 110)
    finally:
        if program.returncode is None:
            program.kill()
    await accounts.remove("101", by="test", at=now)
    assert program.returncode == 0, said.decode()[-6000:]
    assert b"Authentication failed" not in said
