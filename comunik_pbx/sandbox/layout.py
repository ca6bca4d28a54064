"""Where a sandbox keeps its files and which addresses and ports it uses, so that several can run side by side.

Environment: `COMUNIK_SANDBOX_DIR` (default `./.sandbox`), `COMUNIK_SANDBOX_ROOT` (where Debian's packages are
unpacked; default `<dir>/root`) and `COMUNIK_SANDBOX_OFFSET` (0 to 39; default 0), which moves every port by
100 times itself and the carriers from 127.0.0.x to 127.0.<offset>.x. The tests' own sandbox is `<dir>/test` at
40 more, so that they run beside `make run`.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from comunik_pbx.sandbox.errors import SandboxError

MAX_OFFSET = 39
TESTS_OFFSET = 40
SOCKET_PATH_LIMIT = 100  # sun_path holds 108 bytes, the NUL included (unix(7)); Asterisk adds "asterisk.ctl"


@dataclass(frozen=True)
class Addresses:
    """Every address and port of one sandbox; `offset` 0 gives the ones of the documentation."""

    offset: int = 0

    @property
    def host(self) -> str:
        """Where Asterisk, the service and the phones listen."""
        return "127.0.0.1"

    @property
    def sip(self) -> int:
        """UDP port of Asterisk's SIP transport."""
        return 15060 + 100 * self.offset

    @property
    def ari(self) -> int:
        """TCP port of Asterisk's HTTP server, which serves ARI."""
        return 18088 + 100 * self.offset

    @property
    def ami(self) -> int:
        """TCP port of the Asterisk manager interface."""
        return 15038 + 100 * self.offset

    @property
    def agi(self) -> int:
        """TCP port where the service is asked by FastAGI, if it is."""
        return 14573 + 100 * self.offset

    @property
    def portal(self) -> int:
        """TCP port of the service's portal."""
        return 15080 + 100 * self.offset

    @property
    def rtp(self) -> tuple[int, int]:
        """First and last UDP port of Asterisk's RTP, both included."""
        first = 24000 + 400 * self.offset
        return first, first + 399

    @property
    def carriers(self) -> dict[str, str]:
        """Trunk name → IPv4 address of that carrier, in the order trunks are tried; the port is 5060."""
        return {"carrier": f"127.0.{self.offset}.20", "backup": f"127.0.{self.offset}.21"}


CARRIER_PORT = 5060


@dataclass(frozen=True)
class Layout:
    """The directories of one sandbox. `home` is `.sandbox`; `root` holds the unpacked packages."""

    home: Path
    root: Path
    addresses: Addresses

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Layout":
        """Read the three variables named above; raises `SandboxError` on an offset that is no such number."""
        home = Path(environ.get("COMUNIK_SANDBOX_DIR") or ".sandbox").absolute()
        root = environ.get("COMUNIK_SANDBOX_ROOT")
        text = environ.get("COMUNIK_SANDBOX_OFFSET") or "0"
        if not text.isascii() or not text.isdigit() or int(text) > MAX_OFFSET:
            raise SandboxError(f"COMUNIK_SANDBOX_OFFSET is {text!r}; it must be a number from 0 to {MAX_OFFSET}")
        return cls(home, Path(root).absolute() if root else home / "root", Addresses(int(text)))

    def for_tests(self) -> "Layout":
        """The sandbox the tests use: its own directory, ports and carriers, the same unpacked packages."""
        return Layout(self.home / "test", self.root, Addresses(self.addresses.offset + TESTS_OFFSET))

    @property
    def etc(self) -> Path:
        """Asterisk's configuration, written anew at every start."""
        return self.home / "etc"

    @property
    def log(self) -> Path:
        """Asterisk's and the service's logs."""
        return self.home / "log"

    @property
    def var(self) -> Path:
        """Asterisk's database, spool, voicemail and recordings."""
        return self.home / "var"

    @property
    def data(self) -> Path:
        """Links to Asterisk's data directory, with the voices under the names of their languages."""
        return self.home / "data"

    @property
    def run(self) -> Path:
        """Asterisk's control socket: here, or in a short temporary directory if this path is too long for one."""
        here = self.home / "run"
        if len(str(here)) <= SOCKET_PATH_LIMIT - len("/asterisk.ctl"):
            return here
        return Path(tempfile.gettempdir()) / f"comunik-{os.getuid()}-{self.addresses.offset}"

    @property
    def company(self) -> Path:
        """`comunik.toml` of the sandbox company and its secrets."""
        return self.home / "company"

    @property
    def description(self) -> Path:
        """`sandbox.json`, there while the sandbox is up."""
        return self.home / "sandbox.json"

    @property
    def full_log(self) -> Path:
        """Asterisk's log: everything from NOTICE to ERROR, and what the dialplan did."""
        return self.log / "asterisk.log"
