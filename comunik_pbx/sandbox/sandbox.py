"""The whole sandbox: Asterisk, the service, and `sandbox.json`, up together and down together."""

import asyncio
import fcntl
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import msgspec

from comunik_pbx import config as configuration
from comunik_pbx.cli.dialplan import dialplan
from comunik_pbx.sandbox import asterisk_etc, company, debian_packages, processes, programs
from comunik_pbx.sandbox.asterisk_process import AsteriskProcess
from comunik_pbx.sandbox.company import AMI_USER, ARI_USER, Secrets
from comunik_pbx.sandbox.debian_packages import Say
from comunik_pbx.sandbox.errors import AsteriskFailed, SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.programs import Program

SERVICE_SECONDS = 20.0


class Sandbox:
    """A running sandbox. Made by `running`.

    `layout` says where everything is, `asterisk` is the PBX (`console`, `complaints`, `stop`), `service` the
    process of the service or None, `config` the path of its `comunik.toml`.
    """

    def __init__(self, layout: Layout, passwords: Secrets, asterisk: AsteriskProcess, config: Path) -> None:
        self.layout = layout
        self.passwords = passwords
        self.asterisk = asterisk
        self.config = config
        self.service: asyncio.subprocess.Process | None = None
        self.service_command: tuple[str, ...] = (sys.executable, "-m", "comunik_pbx.cli", "run")

    def phones(self) -> Phones:
        """Phones and carriers for one story: `async with sandbox.phones() as phones:`."""
        return Phones(self.layout, self.passwords)

    @property
    def sipp(self) -> Program:
        """The SIPp to use."""
        return programs.find_sipp(self.layout.root)

    async def console(self, command: str) -> str:
        """What Asterisk's console answers."""
        return await self.asterisk.console(command)

    async def start_service(self) -> None:
        """Start `comunik-pbx run` and wait until it decides calls.

        Raises `SandboxError` with the service's last words if it ends or takes longer than `SERVICE_SECONDS`.
        """
        address = f"@comunik-sandbox-{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as news:
            news.bind("\0" + address[1:])
            with (self.layout.log / "service.log").open("ab") as log:
                self.service = await processes.start(
                    self.service_command,
                    stdout=log.fileno(),
                    stderr=log.fileno(),
                    environ={**os.environ, "COMUNIK_PBX_CONFIG": str(self.config), "NOTIFY_SOCKET": address},
                )
            await self._ready(self.service, news)
        self.describe()

    async def _ready(self, service: asyncio.subprocess.Process, news: socket.socket) -> None:
        """Wait for `READY=1` (sd_notify(3)), which the service sends when it decides calls."""
        loop = asyncio.get_running_loop()

        async def said_ready() -> None:
            while b"READY=1" not in await loop.sock_recv(news, 4096):
                pass

        ready, ended = asyncio.create_task(said_ready()), asyncio.create_task(service.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=SERVICE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise SandboxError(f"the service ended with status {service.returncode}: {self._last_words()}")
            if not ready.done():
                raise SandboxError(
                    f"the service was not ready after {SERVICE_SECONDS:g} s; see {self.layout.log / 'service.log'}"
                )
        except BaseException:
            await processes.stop(service)
            self.service = None
            raise
        finally:
            ready.cancel()
            ended.cancel()

    async def stop_service(self) -> None:
        """End the service in order."""
        if self.service is not None:
            await processes.stop(self.service)
            self.service = None
            self.describe()

    def _last_words(self) -> str:
        path = self.layout.log / "service.log"
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else f"it said nothing; see {path}"

    @property
    def ari_url(self) -> str:
        """Base of ARI, without a slash at its end."""
        return f"http://{self.layout.addresses.host}:{self.layout.addresses.ari}/ari"

    def describe(self) -> None:
        """Write `sandbox.json`, at once."""
        addresses, log = self.layout.addresses, self.layout.full_log
        description = {
            "asterisk": {
                "version": self.asterisk.program.version,
                "pid": self.asterisk.pid,
                "sip": f"{addresses.host}:{addresses.sip}",
                "ari_url": self.ari_url,
                "ari_user": ARI_USER,
                "ari_password": self.passwords.ari,
                "ami": f"{addresses.host}:{addresses.ami}",
                "ami_user": AMI_USER,
                "ami_password": self.passwords.ami,
                "console": self.asterisk.console_command,
                "log": str(log),
            },
            "service": {
                "pid": self.service.pid,
                "config": str(self.config),
                "portal": f"http://{addresses.host}:{addresses.portal}",
            }
            if self.service is not None
            else None,
            "phones": [
                {"extension": extension, "username": extension, "password": password}
                for extension, password in self.passwords.phones.items()
            ],
            "carriers": [
                {"trunk": trunk, "address": address} for trunk, address in company.carrier_addresses(self.layout)
            ],
        }
        text = msgspec.json.format(msgspec.json.encode(description), indent=2).decode()
        company.write_private(self.layout.description, text + "\n")


@asynccontextmanager
async def running(
    layout: Layout,
    say: Say,
    *,
    service: bool = True,
    includes: tuple[Path, ...] = (),
    extra_dialplan: str = "",
    database: str = company.DATABASE,
    fresh: bool = False,
) -> AsyncIterator[Sandbox]:
    """A sandbox that is up inside the `async with` and entirely gone after it, whatever happened inside.

    With `service` it starts it too; `includes` are further files for its configuration;
    `extra_dialplan` is put into extensions.conf (for tests). `database` is the service's file in `company/`; with
    `fresh` it starts without any rule, record or registered phone, whatever was before. Raises `SandboxError`s, each
    one clear sentence.
    """
    layout.home.mkdir(parents=True, exist_ok=True)
    with _OnlyOne(layout):
        try:
            asterisk_program = await asyncio.to_thread(programs.find_asterisk, layout.root, say)
        except asyncio.CancelledError:
            debian_packages.interrupt()  # else asyncio waits for its thread, and that for a download
            raise
        passwords = company.load_secrets(layout)
        config = company.write_comunik_toml(layout, passwords, includes=includes, database=database)
        if fresh:
            company.forget_rules(layout, database)
            (layout.var / "astdb.sqlite3").unlink(missing_ok=True)
        files = dialplan(_load(config))  # as `comunik-pbx init` gives them to an admin
        asterisk_etc.write_etc(layout, passwords, asterisk_program, dialplan=files, extra_dialplan=extra_dialplan)
        asterisk = await AsteriskProcess.start(layout, asterisk_program)
        sandbox = Sandbox(layout, passwords, asterisk, config)
        try:
            say(f"Asterisk {asterisk_program.version} is up, SIP on {layout.addresses.host}:{layout.addresses.sip}/udp")
            if service:
                await sandbox.start_service()
                say("comunik-pbx is up")
            sandbox.describe()
            yield sandbox
        finally:
            layout.description.unlink(missing_ok=True)
            await sandbox.stop_service()
            layout.description.unlink(missing_ok=True)
            await sandbox.asterisk.stop()  # perhaps another one than at first


def _load(path: Path) -> configuration.Config:
    try:
        return configuration.load(path)
    except configuration.ConfigError as problems:
        raise SandboxError(str(problems)) from None


class _OnlyOne:
    """Holds the sandbox's lock file; raises `SandboxError` naming who has it."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.home / "lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "?"
            self._file.close()
            raise SandboxError(
                f"a sandbox runs already in {self._path.parent} (process {owner}); "
                "end it, or set COMUNIK_SANDBOX_DIR and COMUNIK_SANDBOX_OFFSET for a second one"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


__all__ = ["AsteriskFailed", "Sandbox", "running"]
