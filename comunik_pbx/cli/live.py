"""What `check --live` tries: the store, ARI or AGI, AMI, and that Asterisk knows the names the configuration gives."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from comunik_pbx import needed
from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AmiActionFailed, AriError, AsteriskError
from comunik_pbx.cli.output import opened

if TYPE_CHECKING:
    from comunik_pbx.config import Config

#: Where the dialplan hands calls over and where plans are carried out: context, extension.
DIALPLAN = (("comunik-incoming", "{extension}"), ("comunik-execute", "plan"))


@dataclass(frozen=True)
class Finding:
    """One thing tried: `subject` is what, `words` what was found, and what to do if it is not `ok`."""

    subject: str
    ok: bool
    words: str


async def findings(config: "Config") -> list[Finding]:
    """Everything tried, in order. Never raises for what is merely wrong; takes at most some seconds."""
    found = [await _store(config)]
    version = ""
    if config.asterisk.ari:
        of_ari, version = await _ari(config)
        found += of_ari
    if config.agi.listen:
        found.append(await _agi(*config.agi.listen))
    # What is not loaded cannot be asked about the dialplan and mailboxes.
    return found + await _ami(config, version, ask=not any(one.subject == "modules" and not one.ok for one in found))


async def _ari(config: "Config") -> tuple[list[Finding], str]:
    """What ARI says, and Asterisk's version."""
    found = []
    async with AriClient(config.asterisk.ari_url, config.asterisk.ari_user, config.asterisk.ari_password) as ari:
        version = ""
        try:
            version = await ari.check()
        except AsteriskError as error:
            found.append(Finding("ARI", False, str(error)))
        else:
            found.append(Finding("ARI", True, f"Asterisk {version} at {ari.url}{_known(version)}"))
            found += await _modules(ari, config)
            found.append(await _application(ari))
            found += await _endpoints(partial(_known_to_ari, ari), config)
    return found, version


def _known(version: str) -> str:
    """What an admin should know of this version."""
    untested = "" if needed.is_tested(version) else f"; tested are {' and '.join(needed.TESTED)}"
    if needed.has_start_time(version):
        return untested
    return f"{untested}; while the service is away, silent trunks are given up by SIP alone, after 32 s"


async def _modules(ari: AriClient, config: "Config") -> list[Finding]:
    try:
        missing = await needed.lacks(config, ari)
    except AriError as error:
        return [Finding("modules", False, str(error))]
    return [Finding("modules", False, str(lack)) for lack in missing] or [
        Finding("modules", True, "all that calls need are loaded")
    ]


async def _agi(host: str, port: int) -> Finding:
    """Whether somebody listens where calls ask; the connection is closed without a word."""
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError too
        words = f"nobody listens at {where} now: calls ring and go to voicemail as by default"
        return Finding("service", True, words)
    writer.close()
    return Finding("service", True, f"listens for AGI at {where}")


async def _store(config: "Config") -> Finding:
    from comunik_pbx.store import StoreError  # noqa: PLC0415

    try:
        async with opened(config) as store:
            rules = await store.rules()
    except StoreError as error:
        return Finding("store", False, str(error))
    return Finding("store", True, f"rules of {len(rules)} extension{'' if len(rules) == 1 else 's'}")


async def _application(ari: AriClient) -> Finding:
    try:
        await ari.applications.get(ari.app)
    except AriError:
        return Finding("service", True, "not connected to Asterisk now: calls ring and go to voicemail as by default")
    return Finding("service", True, f"connected to Asterisk as {ari.app}")


async def _endpoints(known: Callable[[str], Awaitable[bool]], config: "Config") -> list[Finding]:
    missing: list[Finding] = []
    names = list(_endpoint_names(config))
    for key, name in names:
        try:
            if await known(name):
                continue
        except AriError as error:
            return [Finding("endpoints", False, str(error))]
        words = f'Asterisk has no PJSIP endpoint "{name}"; right: add it to pjsip.conf, or correct the name'
        missing.append(Finding(key, False, words))
    return missing or [Finding("endpoints", True, f"all {len(names)} are known to Asterisk")]


async def _known_to_ari(ari: AriClient, name: str) -> bool:
    """GET /endpoints/PJSIP/{name} answers 404 for a name that pjsip.conf does not have."""
    try:
        await ari.request("GET", f"/endpoints/PJSIP/{quote(name, safe='')}")
    except AriError as error:
        if "404" not in str(error):
            raise
        return False
    return True


async def _known_to_ami(client: AmiClient, name: str) -> bool:
    """DEVICE_STATE() of a name that pjsip.conf does not have is INVALID."""
    return await _value(client, f"DEVICE_STATE(PJSIP/{name})") != "INVALID"


def _endpoint_names(config: "Config") -> Iterable[tuple[str, str]]:
    for trunk in config.directory.trunks:
        for name in trunk.endpoints:
            yield f"trunks.{trunk.name}.endpoints", name
        technology, _, dialled = trunk.dial.partition("/")
        before, _, after = dialled.partition("{number}")
        used = after.removeprefix("@").split("/")[0] if after.startswith("@") else before.split("/")[0]
        if technology == "PJSIP" and used and used not in trunk.endpoints:
            yield f"trunks.{trunk.name}.dial", used
    for extension in config.directory.extensions.values():
        for name in extension.endpoints:
            yield f"extensions.{extension.number}.endpoints", name


async def _ami(config: "Config", version: str, *, ask: bool) -> list[Finding]:
    asterisk = config.asterisk
    client = AmiClient(asterisk.ami_host, asterisk.ami_port, asterisk.ami_user, asterisk.ami_password)
    try:
        with closing(client):
            lacks = needed.lacks_actions(version, asterisk.ami_user, await client.check())
            found = [Finding("AMI", False, str(lack)) for lack in lacks] or [
                Finding("AMI", True, f"logged in at {asterisk.ami_host}:{asterisk.ami_port}")
            ]
            if not ask:
                return found
            if not asterisk.ari:
                found += await _endpoints(partial(_known_to_ami, client), config)
            found += await _dialplan(client, config)
            return found + await _mailboxes(client, config) + await _connected_lines(client, config)
    except AmiActionFailed as error:
        words = f'{error}; right: "write = system,reporting" for user {asterisk.ami_user} in manager.conf'
        return [Finding("AMI", False, f"dialplan and mailboxes could not be looked at: {words}")]
    except AsteriskError as error:
        return [Finding("AMI", False, str(error))]


async def _value(client: AmiClient, function: str) -> str:
    """AMI Getvar of a dialplan function, without a channel; needs the class reporting."""
    return str((await client.action("Getvar", Variable=function)).get("value", ""))


async def _dialplan(client: AmiClient, config: "Config") -> list[Finding]:
    some = next(iter(config.directory.extensions), "1")
    missing = []
    proofs = (("comunik-prove", "s"),) if config.directory.proven is not None else ()  # a newer one than the rest
    for context, extension in (*DIALPLAN, *proofs):
        if await _value(client, f"DIALPLAN_EXISTS({context},{extension.format(extension=some)},1)") != "1":
            words = 'is not loaded; right: #include "comunik/*.conf" in extensions.conf, then `dialplan reload`'
            missing.append(Finding(f"dialplan context {context}", False, words))
    asked = await _value(client, f"DIALPLAN_EXISTS(comunik-agi,{some},1)") == "1"
    if not missing and asked != bool(config.agi.listen):
        words = f"{'asks' if asked else 'does not ask'} by AGI, unlike what agi.listen says"
        words += "; right: `comunik-pbx init DIR --force`, then `dialplan reload`"
        missing.append(Finding("dialplan context comunik-incoming", False, words))
    return missing or [Finding("dialplan", True, "comunik-incoming and comunik-execute are loaded")]


async def _mailboxes(client: AmiClient, config: "Config") -> list[Finding]:
    missing = []
    boxes = [(e.number, e.mailbox) for e in config.directory.extensions.values() if e.mailbox]
    for extension, mailbox in boxes:
        if await _value(client, f"VM_INFO({mailbox},exists)") != "1":
            words = f'Asterisk has no mailbox "{mailbox}"; right: add it to voicemail.conf, or correct the name'
            missing.append(Finding(f"extensions.{extension}.mailbox", False, words))
    return missing or [Finding("mailboxes", True, f"all {len(boxes)} exist")]


async def _connected_lines(client: AmiClient, config: "Config") -> list[Finding]:
    """Whether trunks tell who answered or took over: callers would learn forward targets, and carriers extensions."""
    open_ones = []
    names = [(key, name) for key, name in _endpoint_names(config) if key.startswith("trunks.")]
    for key, name in names:
        if await _value(client, f"DEVICE_STATE(PJSIP/{name})") == "INVALID":
            continue  # said by `_endpoints`; asking further would put a warning into Asterisk's log
        for option in ("trust_connected_line", "send_connected_line"):
            if await _value(client, f"PJSIP_ENDPOINT({name},{option})") in ("yes", "true"):
                words = f'tells who was reached; right: "{option} = no" for endpoint {name} in pjsip.conf'
                open_ones.append(Finding(key, False, words))
    return open_ones or [Finding("connected lines", True, "stay on their side of each trunk")]
