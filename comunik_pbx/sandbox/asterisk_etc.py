"""Asterisk's configuration for the sandbox company, from the templates in `etc/`.

A template is a plain Asterisk configuration file with `%{name}` where something of this sandbox goes in.
"""

import re
import shutil
from importlib import resources

from comunik_pbx.sandbox.company import AMI_USER, ARI_USER, MAILBOX_PIN, STAFF, Secrets
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import CARRIER_PORT, Layout
from comunik_pbx.sandbox.programs import Program

WITHOUT_ARI = (
    "app_stasis", "app_stasis_broadcast", "res_ari", "res_ari_applications", "res_ari_asterisk", "res_ari_bridges",
    "res_ari_channels", "res_ari_device_states", "res_ari_endpoints", "res_ari_events", "res_ari_mailboxes",
    "res_ari_model", "res_ari_playbacks", "res_ari_recordings", "res_ari_sounds", "res_stasis", "res_stasis_answer",
    "res_stasis_broadcast", "res_stasis_device_state", "res_stasis_mailbox", "res_stasis_playback",
    "res_stasis_recording", "res_stasis_snoop",
)  # fmt: skip
"""What a PBX without ARI does not load."""

NOLOAD = (
    # other channel drivers and dialplan languages
    "chan_console", "chan_iax2", "chan_motif", "chan_unistim", "pbx_ael", "pbx_dundi", "pbx_lua", "pbx_realtime",
    "res_ael_share",
    "chan_alsa", "chan_mgcp", "chan_oss", "chan_sip", "chan_skinny",
    # what newer versions no longer have
    "app_ices", "app_image", "app_macro", "app_nbscat", "app_url", "res_monitor",
    # databases, directories and telemetry
    "app_voicemail_odbc", "app_voicemail_imap", "cdr_adaptive_odbc", "cdr_odbc", "cdr_pgsql", "cdr_radius",
    "cdr_sqlite3_custom", "cdr_tds", "cdr_custom", "cdr_manager", "cel_custom", "cel_manager", "cel_odbc",
    "cel_pgsql", "cel_radius", "cel_sqlite3_custom", "cel_tds", "res_cdrel_custom", "func_odbc", "res_config_curl",
    "res_config_ldap", "res_config_odbc", "res_config_pgsql", "res_config_sqlite3", "res_odbc",
    "res_odbc_transaction", "res_hep", "res_hep_pjsip", "res_hep_rtcp", "res_prometheus", "res_snmp", "res_statsd",
    "res_corosync",
    # applications the sandbox does not use and that want a configuration of their own
    "app_adsiprog", "app_agent_pool", "app_alarmreceiver", "app_amd", "app_confbridge", "app_page", "app_festival",
    "app_followme", "app_getcpeid", "app_jack", "app_minivm", "app_queue", "app_sla", "app_sms", "app_test",
    "res_adsi", "res_aeap", "res_calendar", "res_calendar_caldav", "res_calendar_ews", "res_calendar_exchange",
    "res_calendar_icalendar", "res_clialiases", "res_fax", "res_fax_spandsp", "res_phoneprov",
    "res_pjsip_phoneprov_provider", "res_pjsip_config_wizard", "res_pjsip_stir_shaken",
    "res_pjsip_transport_websocket", "res_pjsip_notify", "res_http_media_cache", "res_smdi", "res_speech_aeap",
    "res_stasis_test", "res_stir_shaken", "res_stun_monitor", "res_xmpp", "res_resolver_unbound", "chan_websocket",
    "res_geolocation", "res_pjsip_geolocation", "res_pjsip_publish_asterisk",
)  # fmt: skip


def write_etc(
    layout: Layout,
    passwords: Secrets,
    asterisk: Program,
    *,
    dialplan: dict[str, str],
    extra_dialplan: str = "",
    noload: tuple[str, ...] = (),
) -> None:
    """Write everything Asterisk reads: `etc/`, `etc/comunik/`, the data directory with its voices, empty spools.

    `dialplan` are the files of `etc/comunik/`; `extra_dialplan` is put into extensions.conf; `noload` are modules that
    are left out too.
    """
    values = _values(layout, passwords, asterisk) | {
        "extra_dialplan": extra_dialplan,
        "noload": "\n".join(f"noload = {module}.so" for module in (*NOLOAD, *noload)),
    }
    if layout.etc.exists():
        shutil.rmtree(layout.etc)
    for directory in (
        layout.etc,
        layout.log,
        layout.run,
        layout.var / "keys",
        layout.var / "spool/voicemail",
        layout.log / "cdr-csv",
    ):
        directory.mkdir(parents=True, exist_ok=True)
    for template in resources.files("comunik_pbx.sandbox").joinpath("etc").iterdir():
        if template.name.endswith(".conf"):
            path = layout.etc / template.name
            path.touch(mode=0o600)
            path.write_text(fill(template.read_text(encoding="utf-8"), values, template.name), encoding="utf-8")
    (layout.etc / "comunik").mkdir()
    for name, text in dialplan.items():
        (layout.etc / "comunik" / name).write_text(text, encoding="utf-8")
    _link_data(layout, asterisk)


def fill(template: str, values: dict[str, str], name: str) -> str:
    """Put `values` where `%{name}` stands; raises `SandboxError` for a name that has no value."""

    def value(match: re.Match[str]) -> str:
        try:
            return values[match[1]]
        except KeyError:
            raise SandboxError(f"{name}: nothing to put for %{{{match[1]}}}") from None

    return re.sub(r"%\{(\w+)\}", value, template)


def _values(layout: Layout, passwords: Secrets, asterisk: Program) -> dict[str, str]:
    addresses = layout.addresses
    modules = asterisk.directories.get("astmoddir")
    trunks = [
        f"[{name}](trunk)\naors = {name}\n\n[{name}](trunk-aor)\ncontact = sip:{address}:{CARRIER_PORT}\n\n"
        f"[{name}]\ntype = identify\nendpoint = {name}\nmatch = {address}\n"
        for name, address in addresses.carriers.items()
    ]
    phones = []
    for person in STAFF:
        number, mailbox = person.extension, f"mailboxes = {person.mailbox}\n" if person.mailbox else ""
        phones.append(
            f'[{number}](phone)\naors = {number}\nauth = {number}\ncallerid = "{person.name}" <{number}>\n{mailbox}\n'
            f"[{number}](phone-auth)\nusername = {number}\npassword = {passwords.phones[number]}\n\n"
            f"[{number}](phone-aor)\n{mailbox}"
        )
    return {
        "offset": str(addresses.offset),
        "etc": str(layout.etc),
        "var": str(layout.var),
        "data": str(layout.data),
        "run": str(layout.run),
        "log": str(layout.log),
        "module_directory": f"astmoddir => {modules}" if modules else "; astmoddir: as installed",
        "host": addresses.host,
        "sip": str(addresses.sip),
        "ari": str(addresses.ari),
        "ami": str(addresses.ami),
        "rtp_first": str(addresses.rtp[0]),
        "rtp_last": str(addresses.rtp[1]),
        "ari_user": ARI_USER,
        "ari_password": passwords.ari,
        "ami_user": AMI_USER,
        "ami_password": passwords.ami,
        "trunks": "\n".join(trunks),
        "phones": "\n".join(phones),
        "mailboxes": "\n".join(
            f"{person.extension} => {MAILBOX_PIN},{person.name},,,language=fr" for person in STAFF if person.mailbox
        ),
    }


def _link_data(layout: Layout, asterisk: Program) -> None:
    """`data/` links to Asterisk's own data; `sounds/fr` and `sounds/en` to the voices it has, whatever their names."""
    installed = asterisk.directories.get("astdatadir")
    if installed is None:
        raise SandboxError(f"cannot find the data directory of {asterisk.where} (no /usr/share/asterisk)")
    if layout.data.exists():
        shutil.rmtree(layout.data)
    sounds = layout.data / "sounds"
    sounds.mkdir(parents=True)
    for entry in installed.iterdir():
        if entry.name != "sounds":
            (layout.data / entry.name).symlink_to(entry)
    for entry in (installed / "sounds").iterdir() if (installed / "sounds").is_dir() else ():
        (sounds / entry.name).symlink_to(entry)
    for language in ("en", "fr"):
        if not (sounds / language).exists():
            voices = sorted((installed / "sounds").glob(f"{language}_*_*"))
            if voices:
                (sounds / language).symlink_to(voices[0])
    # Where a call's own recordings and prompts go; Debian's links point outside the unpacked root.
    for name in ("recordings", "custom", "priv-callerintros"):
        link = sounds / name
        link.unlink(missing_ok=True)
        link.mkdir()
