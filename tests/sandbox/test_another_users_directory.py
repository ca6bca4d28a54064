"""`.sandbox/` made by another user, as `sudo make demo` would: one sentence, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

from comunik_pbx.sandbox.layout import Layout

WITHOUT_ROOTS_RIGHTS = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


def test_another_users_directory(tmp_path: Path) -> None:
    home = tmp_path / "sandbox"
    home.mkdir(mode=0o555)
    said = subprocess.run(
        [*(WITHOUT_ROOTS_RIGHTS if os.geteuid() == 0 else []), sys.executable, "-m", "comunik_pbx.sandbox", "run"],
        env={
            **os.environ,
            "COMUNIK_SANDBOX_DIR": str(home),
            "COMUNIK_SANDBOX_ROOT": str(Layout.from_environment().root),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        f"comunik-pbx sandbox: {home}/lock: Permission denied; it may belong to another user (made with sudo?): "
        "delete it, or set COMUNIK_SANDBOX_DIR\n"
    )
