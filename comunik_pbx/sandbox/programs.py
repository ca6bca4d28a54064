"""Which `asterisk` and which `sipp` run: the installed ones if they will do, else the unpacked ones."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from comunik_pbx.sandbox import debian_packages
from comunik_pbx.sandbox.debian_packages import Machine, Say
from comunik_pbx.sandbox.errors import PackagesUnavailable, SandboxError

OLDEST = 20  # the oldest Asterisk branch that still gets fixes and has what the dialplan needs


@dataclass(frozen=True)
class Program:
    """A command line to put arguments behind. `where` says for people which one was chosen."""

    command: tuple[str, ...]
    version: str
    where: str
    directories: dict[str, Path] = field(default_factory=dict)
    """Asterisk only: `astmoddir` and `astdatadir` that asterisk.conf must name."""


def find_asterisk(root: Path, say: Say) -> Program:
    """The installed Asterisk of version `OLDEST` or newer, else the one unpacked into `root` (fetched if need be).

    With COMUNIK_SANDBOX_SUITE it is that Debian release's, unpacked beside `root`: `bullseye` has 16.28, the oldest
    supported. Raises `PackagesUnavailable` if there is none.
    """
    suite = os.environ.get("COMUNIK_SANDBOX_SUITE")
    if suite:
        if not re.fullmatch("[a-z]+", suite):
            raise PackagesUnavailable(
                f"COMUNIK_SANDBOX_SUITE is {suite!r}: it names a Debian release, such as bullseye"
            )
        root = root.with_name(f"{root.name}-{suite}")
    elif installed := shutil.which("asterisk", path=_path()):
        version = _version([installed, "-V"], r"Asterisk\s+(?:certified[/-])?(\d+[\w.~-]*)")
        if version and int(re.split(r"\D", version)[0]) >= OLDEST:
            data = _installed_data()
            say(f"using the installed Asterisk {version} ({installed})")
            return Program((installed,), version, installed, {"astdatadir": data} if data else {})
        say(f"the installed Asterisk ({installed}) is {version or 'of unknown version'}, {OLDEST} or newer is needed")
    debian_packages.unpack(root, say, suite)
    command, machine = _unpacked(root, "usr/sbin/asterisk")
    version = _version([*command, "-V"], r"Asterisk\s+(\d+[\w.~-]*)")
    if not version:
        raise PackagesUnavailable(f"the Asterisk unpacked into {root} does not run; delete {root} and start again")
    version = version.partition("~")[0]
    say(f"using Asterisk {version} unpacked in {root}")
    directories = {
        "astmoddir": machine.modules_in(root),
        "astdatadir": root / "usr/share/asterisk",
    }
    return Program(command, version, str(root), directories)


def find_sipp(root: Path, say: Say = lambda _: None) -> Program:
    """The installed SIPp, else the unpacked one; raises `SandboxError` if there is neither."""
    if installed := shutil.which("sipp"):
        return Program((installed,), _version([installed, "-v"], r"SIPp v([\d.]+)") or "?", installed)
    debian_packages.unpack(root, say)
    command, _ = _unpacked(root, "usr/bin/sipp")
    version = _version([*command, "-v"], r"SIPp v([\d.]+)")
    if not version:
        raise SandboxError(f"no `sipp` on PATH and none that runs in {root}; install sip-tester")
    return Program(command, version, str(root))


def _path() -> str:
    """PATH with the sbin directories, where Asterisk is and an ordinary user's PATH often is not."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])


def _unpacked(root: Path, program: str) -> tuple[tuple[str, ...], Machine]:
    machine = Machine.this()
    # Debian links private libraries from here by rpath or alternatives, which only work at /usr.
    loader = str(machine.loader_in(root))
    return (loader, "--library-path", machine.libraries_in(root), str(root / program)), machine


def _version(command: list[str], pattern: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1].rstrip(".") if match else None


def _installed_data() -> Path | None:
    """Where the installed Asterisk keeps its sounds, as its own asterisk.conf says or by custom."""
    conf = Path("/etc/asterisk/asterisk.conf")
    try:
        named = re.search(r"^\s*astdatadir\s*=>?\s*(\S+)", conf.read_text(), re.MULTILINE)
    except OSError:
        named = None
    candidates = [Path(named[1])] if named else []
    candidates += [Path("/usr/share/asterisk"), Path("/var/lib/asterisk")]
    return next((c for c in candidates if (c / "rest-api").is_dir() or (c / "sounds").is_dir()), None)
