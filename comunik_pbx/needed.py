"""What calls need of an Asterisk: modules and actions of AMI; and what to say where something is not there.

Modules are looked up by name (ARI), because an application or function that is missing is noticed by Asterisk only when
a call gets there. A test holds the table: what `dialplan/` uses is what these modules bring.
"""

import re
from collections.abc import Collection, Iterator

import msgspec

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AsteriskLacks
from comunik_pbx.config import Config

TESTED = ("16.28", "22.10")
"""The versions on which the call stories are played (docs/testing.md)."""


class Need(msgspec.Struct, frozen=True):
    """One of `modules`, the usual one first, for what it `gives`."""

    modules: tuple[str, ...]
    gives: str


ALWAYS = (
    Need(("res_ari_applications",), "the application of ARI that decides calls"),
    Need(("res_ari_channels",), "channels of ARI"),
    Need(("res_ari_endpoints",), "endpoints of ARI"),
    Need(("res_ari_events",), "events of ARI"),
    Need(("app_stasis",), "Stasis()"),
    Need(("app_dial",), "Dial()"),
    Need(("app_exec",), "ExecIf(), TryExec()"),
    Need(("app_stack",), "Gosub(), GosubIf(), Return()"),
    Need(("chan_pjsip",), "PJSIP_DIAL_CONTACTS()"),
    Need(("res_pjsip_diversion",), "Diversion headers"),
    Need(("res_pjsip_header_funcs",), "PJSIP_HEADER()"),
    Need(("func_callerid",), "CALLERID(), CONNECTEDLINE(), REDIRECTING()"),
    Need(("func_cdr",), "CDR()"),
    Need(("func_channel",), "CHANNEL()"),
    Need(("func_cut",), "CUT()"),
    Need(("func_db",), "DB(), DB_EXISTS()"),
    Need(("func_devstate",), "DEVICE_STATE()"),
    Need(("func_dialplan",), "DIALPLAN_EXISTS()"),
    Need(("func_global",), "GLOBAL()"),
    Need(("func_hangupcause",), "HANGUPCAUSE(), HANGUPCAUSE_KEYS(), HangupCauseClear()"),
    Need(("func_logic",), "IF(), IMPORT(), SET()"),
    Need(("func_pjsip_endpoint",), "PJSIP_ENDPOINT()"),
    Need(("func_strings",), "ARRAY(), FIELDQTY(), FILTER(), LEN(), POP(), REPLACE(), SHIFT(), STRFTIME()"),
    Need(("func_timeout",), "TIMEOUT()"),
    Need(("func_version",), "VERSION()"),
)

VOICEMAIL = Need(("app_voicemail", "app_voicemail_odbc", "app_voicemail_imap"), "VoiceMail(), VM_INFO()")
CONFIRMATION = Need(("app_read",), "Read()")
PROMPTS = Need(("app_playback",), "Playback()")

ACTIONS = ("DBPut", "DBDel", "DBGetTree")
"""Of AMI: published plans are written by them, and read back."""


def needs(config: Config) -> Iterator[Need]:
    """What this configuration needs."""
    yield from ALWAYS
    directory = config.directory
    if any(extension.mailbox for extension in directory.extensions.values()):
        yield VOICEMAIL
    if any(t.confirm for t in directory.trunks) or any(e.confirm for e in directory.extensions.values()):
        yield CONFIRMATION
    if config.prompts_enabled or config.announce_forward:
        yield PROMPTS


async def lacks(config: Config, ari: AriClient) -> list[AsteriskLacks]:
    """The modules that are not there, each as a sentence. Raises AriError if Asterisk does not say."""
    running = await ari.asterisk.modules()
    return [_lack(need) for need in needs(config) if not running & {f"{module}.so" for module in need.modules}]


def _lack(need: Need) -> AsteriskLacks:
    usual = need.modules[0]
    return AsteriskLacks(
        f"Asterisk has not loaded {' or '.join(need.modules)}, which calls need for {need.gives}; right: no `noload`"
        f" of it in modules.conf, the package installed that has it, then `module load {usual}.so`"
    )


def lacks_actions(version: str, user: str, allowed: Collection[str]) -> list[AsteriskLacks]:
    """The same for AMI, given what its user is `allowed`."""
    missing = [action for action in ACTIONS if action not in allowed]
    if missing == ["DBGetTree"]:  # of the same right as the others
        return [
            AsteriskLacks(
                f"Asterisk {version} has no AMI action DBGetTree, by which published plans are read back: it came with"
                " 16.28, 18.14 and 19.6; right: upgrade Asterisk"
            )
        ]
    return [
        AsteriskLacks(
            f'AMI user {user!r} may not use {", ".join(missing)}; right: "write = system,reporting" for it in'
            " manager.conf, then `manager reload`"
        )
    ] * bool(missing)


def is_tested(version: str) -> bool:
    """Whether our tests are run on this version."""
    return any(re.match(rf"{re.escape(tested)}(\D|$)", version) for tested in TESTED)


def has_start_time(version: str) -> bool:
    """Whether its `Dial()` gives up what shows no sign of life; True for a version that is no number (a git build)."""
    found = re.match(r"(?:certified[/-])?(\d+)\.(\d+)", version)
    if found is None:
        return True
    major, minor = int(found[1]), int(found[2])
    return (major, minor) >= {20: (20, 7), 21: (21, 2)}.get(major, (22, 0))
