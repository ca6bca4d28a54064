"""`make run`: the sandbox stays up, and its service is started again when it dies, as systemd would."""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from comunik_pbx import config as configuration
from comunik_pbx.accounts.account import Role
from comunik_pbx.sandbox.company import MAILBOX_PIN, STAFF, carrier_addresses
from comunik_pbx.sandbox.errors import AsteriskFailed, SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running
from comunik_pbx.service import REPLACED
from comunik_pbx.store import Store
from comunik_pbx.web import passwords

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STABLE_SECONDS = 10.0  # up this long, and the next death is a first one again


async def stay_up(layout: Layout, includes: tuple[Path, ...]) -> int:
    """Start everything, say how to use it, stay until told to end or until Asterisk dies (status 1)."""
    for path in includes:
        if not path.is_file():
            raise SandboxError(f"the further configuration {path} does not exist")
    async with running(layout, _say, includes=includes) as sandbox:
        _explain(sandbox)
        if sandbox.service is not None:
            addresses = layout.addresses
            _say(f"Portal: http://{addresses.host}:{addresses.portal}")
            await demo_accounts(sandbox)
        _say("Ctrl-C ends everything.")
        watch = asyncio.create_task(_keep_service(sandbox)) if sandbox.service else None
        waiting: set[asyncio.Task[object]] = {sandbox.asterisk.ended}
        if watch:
            waiting.add(watch)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if watch:
                watch.cancel()
                await asyncio.wait([watch])
        if watch and not watch.cancelled() and (error := watch.exception()):
            raise error
        raise AsteriskFailed(f"Asterisk ended with status {sandbox.asterisk.ended.result()}; see {layout.full_log}")


async def _keep_service(sandbox: Sandbox) -> None:
    """Start the service again whenever it dies, after a pause that doubles while it does not stay up."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        started = time.monotonic()
        if sandbox.service is not None:
            status = await sandbox.service.wait()
            if status == REPLACED:
                _say("another service took over: this one is not started again")
                await asyncio.Event().wait()
            if time.monotonic() - started > STABLE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            _say(f"the service ended with status {status}; it starts again in {pause:g} s")
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        try:
            await sandbox.start_service()
            _say("comunik-pbx is up again")
        except SandboxError as error:
            _say(str(error))


def _explain(sandbox: Sandbox) -> None:
    addresses, phones = sandbox.layout.addresses, sandbox.passwords.phones
    _say("")
    _say(f"Register a softphone: server {addresses.host}:{addresses.sip}, UDP, codecs PCMA or PCMU")
    for person in STAFF[:3]:
        _say(f"  {person.extension} {person.name}: user {person.extension}, password {phones[person.extension]}")
    _say(f"  … up to {STAFF[-1].extension}; all passwords are in {sandbox.layout.description}")
    _say(f"Dial 101 to {STAFF[-1].extension}, *97 for your mailbox (PIN {MAILBOX_PIN}), 0… or +… for outside.")
    for trunk, address in carrier_addresses(sandbox.layout):
        _say(f"An INVITE from {address} is a call from outside by the trunk {trunk}; calls to outside go there.")
    if sandbox.service is not None:
        _say(f"Configuration: {sandbox.config}")
    else:
        _say("There is no service in this checkout yet: calls follow the default plans.")
    _say(f"Log: {sandbox.layout.full_log}   Console: {' '.join(sandbox.asterisk.console_command[:-1])} -r")


async def demo_accounts(sandbox: Sandbox) -> None:
    """Accounts to try the portal with, a user and an administrator: their passwords are said, unless changed since."""
    config = configuration.load(sandbox.config)
    async with await Store.open(config.store_url) as store:
        for name, password in sandbox.passwords.portal.items():
            role = Role.ADMIN if name == "boss" else Role.USER
            account, now = await store.accounts.account(name), datetime.now(UTC)
            if account is None or account.password_hash is None:
                await store.accounts.invite(
                    name, role, secrets.token_urlsafe(32), now + timedelta(days=1), by="make run", at=now
                )
                await store.accounts.set_password(name, await passwords.hashed(password), at=now, address="")
            elif not await passwords.right(password, account.password_hash):
                admin = " --admin" if role is Role.ADMIN else ""
                again = f".venv/bin/comunik-pbx user invite {name}{admin} --config {sandbox.config}"
                _say(f"  sign in as {name} ({role.value}) with the password you chose; a new one: {again}")
                continue
            _say(f"  sign in as {name} ({role.value}), password {password}")


def _say(line: str) -> None:
    print(line, flush=True)
