"""Asterisk and SIPp from Debian's or Ubuntu's own packages, unpacked into a directory: no root, no chroot.

An apt of one's own (its own state, cache and source list) downloads and verifies the packages from the mirror
the machine already uses; `dpkg-deb -x` unpacks them. Nothing outside the directory is touched.
Debian 12 and 13 ship no Asterisk, so Debian machines take it from testing; Ubuntu machines from their own suite.
"""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from comunik_pbx.sandbox.errors import PackagesUnavailable

PACKAGES = (
    "asterisk",
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-fr-wav",
    "asterisk-moh-opsound-wav",
    "sip-tester",
)
DEBIAN_SUITE = "forky"
NEEDED_BYTES = 900_000_000  # 133 MB of packages and 600 MB unpacked, with some air
COMPLETE = ".complete"  # written last: a directory without it was interrupted and is done again

Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """One line of apt's sources: where packages come from and the key that signs them (a path or None)."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None

    def line(self) -> str:
        """The source in apt's one-line format (sources.list(5))."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}\n"


@dataclass(frozen=True)
class Machine:
    """What decides where programs and libraries lie inside the packages."""

    triplet: str
    loader: str  # relative to the directory unpacked into

    def loader_in(self, root: Path) -> Path:
        """The program loader of what was unpacked into `root`."""
        # Before Debian 12 it is in /lib, and the link in /lib64 leads out of the directory.
        before = root / "lib" / self.triplet / Path(self.loader).name
        return before if before.exists() else root / self.loader

    def libraries_in(self, root: Path) -> str:
        """Where that loader is to look for libraries."""
        places = (root / "usr/lib" / self.triplet, root / "lib" / self.triplet, root / "usr/lib")
        return ":".join(str(place) for place in places if place.is_dir())

    def modules_in(self, root: Path) -> Path:
        """Asterisk's modules (`astmoddir`)."""
        usual = root / "usr/lib" / self.triplet / "asterisk/modules"
        return usual if usual.is_dir() else root / "usr/lib/asterisk/modules"

    @classmethod
    def this(cls) -> "Machine":
        """Of the machine we run on, by `dpkg --print-architecture`; raises `PackagesUnavailable` for unknown ones."""
        architecture = _output(["dpkg", "--print-architecture"]).strip()
        if architecture not in _MACHINES:
            raise PackagesUnavailable(
                f"no recipe for a {architecture} machine; install Asterisk 20 or newer so that `asterisk` is on PATH"
            )
        return _MACHINES[architecture]


_MACHINES = {
    "amd64": Machine("x86_64-linux-gnu", "usr/lib64/ld-linux-x86-64.so.2"),
    "arm64": Machine("aarch64-linux-gnu", "usr/lib/ld-linux-aarch64.so.1"),
    "armhf": Machine("arm-linux-gnueabihf", "usr/lib/ld-linux-armhf.so.3"),
    "riscv64": Machine("riscv64-linux-gnu", "usr/lib/ld-linux-riscv64-lp64d.so.1"),
}


def machine_sources(etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """Every enabled binary source of this machine, from deb822 `.sources` files and one-line lists."""
    found: list[Source] = []
    lists = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*.list"))]
    for path in lists:
        found.extend(_one_line(_read(path)))
    for path in sorted((etc_apt / "sources.list.d").glob("*.sources")):
        found.extend(_deb822(_read(path)))
    return found


def _read(path: Path) -> str:
    """The text of a file; nothing if it is not there or may not be read (sources with a password in them)."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)", line)
        if match:
            signed = re.search(r"signed-by=(\S+)", match[1] or "")
            yield Source(match[2].rstrip("/"), match[3], tuple(match[4].split()), signed[1] if signed else None)


def _deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line[:1] in " \t":
                fields[key] = f"{fields.get(key, '')} {line.strip()}".strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
        ):
            continue
        signed = fields.get("signed-by", "")
        key_file = signed if signed.startswith("/") and " " not in signed else None
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri.rstrip("/"), suite, tuple(fields.get("components", "").split()), key_file)


def choose_sources(
    sources: Sequence[Source], os_release: str, keyrings: Path, suite: str | None = None
) -> list[Source]:
    """The sources to take Asterisk from, given the machine's own and its /etc/os-release; of that suite, if given.

    Debian and what derives from it: the machine's Debian mirror, suite testing. Ubuntu: the archive's own suites,
    with `universe`, where Asterisk is. Raises `PackagesUnavailable` if the machine has no such mirror.
    """
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    ident, codename = (fields.get(name, "").strip('"') for name in ("ID", "VERSION_CODENAME"))
    if ident == "ubuntu" and suite is None:
        own = [s for s in sources if s.suite in (codename, f"{codename}-updates", f"{codename}-security")]
        archive = [s for s in own if "main" in s.components or "universe" in s.components]
        chosen = {(s.uri, s.suite): Source(s.uri, s.suite, ("main", "universe"), s.signed_by) for s in archive}
        if chosen:
            return list(chosen.values())
        raise PackagesUnavailable(_NO_MIRROR.format(where="Ubuntu archive"))
    for source in sources:
        name = source.uri.rsplit("/", 1)[-1]
        if "main" in source.components and name == "debian":
            key = keyrings / "debian-archive-keyring.gpg"
            signed_by = str(key) if key.is_file() else source.signed_by
            return [Source(source.uri, suite or DEBIAN_SUITE, ("main",), signed_by)]
    raise PackagesUnavailable(_NO_MIRROR.format(where="Debian mirror"))


_NO_MIRROR = (
    "no {where} among this machine's apt sources (/etc/apt/sources.list, /etc/apt/sources.list.d); "
    "install Asterisk 20 or newer so that `asterisk` is on PATH"
)


def unpack(root: Path, say: Say, suite: str | None = None) -> None:
    """Fetch and unpack `PACKAGES` into `root`, unless that was done before; progress goes to `say`.

    `suite` is another Debian release to take Asterisk alone from, such as `bullseye`.

    An unpacking that was interrupted is done again from the start (downloaded packages are kept).
    Raises `PackagesUnavailable` in one sentence if apt, network or disk space is missing.
    """
    if is_complete(root):
        return
    for program in ("apt-get", "dpkg", "dpkg-deb"):
        if shutil.which(program) is None:
            raise PackagesUnavailable(
                f"no `asterisk` on PATH and no `{program}` to fetch it with: this is no Debian or Ubuntu; "
                "install Asterisk 20 or newer"
            )
    machine = Machine.this()
    apt = root.parent / f"{root.name}.apt"
    for directory in (apt / "state/lists/partial", apt / "cache/archives/partial"):
        directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(apt).free
    if free < NEEDED_BYTES:
        raise PackagesUnavailable(
            f"unpacking Asterisk needs {NEEDED_BYTES // 1_000_000} MB under {root.parent}, "
            f"{free // 1_000_000} MB are free"
        )
    release = Path("/etc/os-release")
    sources = choose_sources(
        machine_sources(), release.read_text() if release.is_file() else "", Path("/usr/share/keyrings"), suite
    )
    packages = PACKAGES if suite is None else (*(p for p in PACKAGES if p != "sip-tester"), "asterisk-voicemail")
    (apt / "sources.list").write_text("".join(source.line() for source in sources))
    (apt / "status").touch()
    options = _apt_options(apt)
    say(f"fetching Asterisk from {sources[0].uri} ({sources[0].suite}), about 133 MB, once")
    _apt(["apt-get", *options, "update"], "reading the package lists")
    _apt(
        ["apt-get", *options, "--yes", "--download-only", "install", *packages],
        "downloading",
        watch=(apt / "cache/archives", say),
    )
    if root.exists():
        shutil.rmtree(root)
    archives = sorted((apt / "cache/archives").glob("*.deb"))
    say(f"unpacking {len(archives)} packages into {root}")
    partial = root.with_name(f"{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for archive in archives:
        _run(["dpkg-deb", "-x", str(archive), str(partial)], f"unpacking {archive.name}")
    if not machine.loader_in(partial).exists() or not (partial / "usr/sbin/asterisk").exists():
        raise PackagesUnavailable(f"the packages unpacked into {partial} hold no Asterisk for {machine.triplet}")
    (partial / COMPLETE).touch()
    partial.rename(root)
    shutil.rmtree(apt, ignore_errors=True)


def is_complete(root: Path) -> bool:
    """Whether `root` holds everything (`COMPLETE` is written last)."""
    return (root / COMPLETE).exists()


def _apt_options(apt: Path) -> list[str]:
    values = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
        "APT::Install-Recommends": "false",
        # A mirror that lags serves a Release file past its date; its signature is still checked.
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
    }
    return [word for key, value in values.items() for word in ("-o", f"{key}={value}")]


def _apt(command: list[str], doing: str, watch: tuple[Path, Say] | None = None) -> None:
    """Run apt-get; while it downloads, say every few seconds how far it is."""
    with _started(command) as process:
        lines: list[str] = []
        fetched = 0
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if watch and line.startswith("Get:"):
                fetched += 1
                if fetched % 40 == 0:
                    watch[1](f"  {fetched} packages downloaded")
    _go_on()
    # `update` succeeds with old lists when the mirror does not answer; we have no old lists.
    if process.returncode or any(line.startswith("Err:") for line in lines):
        raise PackagesUnavailable(_why(lines, doing))


def _why(lines: list[str], doing: str) -> str:
    """Say in one sentence why apt failed."""
    text = "\n".join(lines)
    if re.search(r"Could not resolve|Temporary failure|Unable to connect|Could not connect|Connection timed", text):
        host = re.search(r"https?://([^/\s]+)", text)
        return f"{doing}: {host[1] if host else 'the mirror'} cannot be reached; check the network, or install Asterisk"
    if "No space left" in text:
        return f"{doing}: no space left on the disk"
    errors = [line for line in lines if line.startswith(("E:", "W:"))]
    return f"{doing}: apt-get says: {errors[0][2:].strip() if errors else (lines or ['nothing'])[-1]}"


def _run(command: list[str], doing: str) -> None:
    with _started(command) as process:
        said = process.stdout.read().strip() if process.stdout else ""
    _go_on()
    if process.returncode:
        raise PackagesUnavailable(f"{doing}: {said.splitlines()[-1] if said else 'failed'}")


_ending = threading.Event()
_child: subprocess.Popen[str] | None = None


def interrupt() -> None:
    """End what is being fetched or unpacked in another thread, because this program ends."""
    _ending.set()
    if _child is not None:
        _child.terminate()


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A child process whose output is read, and which `interrupt` ends."""
    global _child  # noqa: PLW0603 - a signal has to find it
    _go_on()
    environ = {**os.environ, "LC_ALL": "C"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ) as process:
        _child = process
        if _ending.is_set():  # it came between the two
            process.terminate()
        try:
            yield process
        finally:
            _child = None


def _go_on() -> None:
    if _ending.is_set():
        raise PackagesUnavailable("interrupted; the next start goes on where this one ended")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
