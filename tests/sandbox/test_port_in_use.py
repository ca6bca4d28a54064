"""A port that another program has: one sentence, and nothing started."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from comunik_pbx.sandbox.layout import MAX_OFFSET, Addresses, Layout


def test_a_port_in_use(tmp_path: Path) -> None:
    address = ("127.0.0.1", Addresses(MAX_OFFSET).ami)
    with socket.socket() as other:
        other.bind(address)
        other.listen()
        said = subprocess.run(
            [sys.executable, "-m", "comunik_pbx.sandbox", "run"],
            env={
                **os.environ,
                "COMUNIK_SANDBOX_ROOT": str(Layout.from_environment().root),
                "COMUNIK_SANDBOX_DIR": str(tmp_path),
                "COMUNIK_SANDBOX_OFFSET": str(MAX_OFFSET),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert said.returncode == 1
    [line] = said.stderr.splitlines()
    assert f"127.0.0.1:{address[1]}/tcp, needed for Asterisk's manager interface (AMI), cannot be used" in line
    assert "COMUNIK_SANDBOX_OFFSET" in line
    assert not (tmp_path / "sandbox.json").exists()
