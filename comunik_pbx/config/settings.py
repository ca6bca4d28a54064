"""Every setting of `comunik.toml`: its type, default, what would be right, and why it is there.

`docs/configuration.md` holds one line for each, and a test compares the two. These are the settings as
written; `checking` makes of them the directory and the default rules that the decision works with.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

#: Characters that mean nothing to Asterisk's dialplan nor to the encoding of plans.
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]*$"
MAILBOX = r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+$"
DIAL = r"^[A-Za-z0-9]+/[A-Za-z0-9_.@:/+{}-]+$"
STORE_URL = r"^(sqlite:///[^\s?#]+|postgresql://\S+)$"
EXTENSION = r"^[0-9]{1,15}$"
NUMBER_PATTERN = r"^\+[0-9]{1,15}\*?$"
LISTEN = r"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):[0-9]{1,5}$"
COUNTRY = r"^[A-Z]{2}$"


def setting(default: Any, *, right: str, why: str, unit: str = "", shown: str | None = None, **limits: Any) -> Any:
    """A documented setting. `shown` is the default in words where its value alone does not say it."""
    extra: JsonDict = {"right": right, "unit": unit, "shown": shown}
    return Field(default, description=why, json_schema_extra=extra, **limits)


def right(field: FieldInfo) -> str:
    """What would be right for this setting, in words."""
    extra = field.json_schema_extra
    return str(extra["right"]) if isinstance(extra, dict) else ""


def unit(field: FieldInfo) -> str:
    """The setting's unit, empty if it has none."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def _wall_clock(when: datetime) -> datetime:
    """The moment with the machine's time zone if it has none, and such that it can be told in any other zone."""
    try:
        when.astimezone(UTC)
        return when.astimezone() if when.tzinfo is None else when
    except (OverflowError, OSError):
        raise ValueError from None


Name = Annotated[str, Field(pattern=NAME)]
Country = Annotated[str, Field(pattern=COUNTRY)]
NumberPattern = Annotated[str, Field(pattern=NUMBER_PATTERN)]
Language = Literal["en", "fr"]
#: A moment; without an offset it is the local time of the machine.
Moment = Annotated[datetime, AfterValidator(_wall_clock)]


class Table(BaseModel):
    """A table of the file: types are not converted, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class General(Table):
    """Above all tables."""

    include: list[str] = setting(
        [],
        right='a list of files or patterns, such as ["extensions.d/*.toml"]',
        why="Further files, relative to the file the line stands in, read in the order given, patterns sorted.",
    )
    country: Country = setting(
        ...,
        right='a country\'s two capital letters (ISO 3166), such as "FR"',
        why="Numbering plan for numbers without a country code, and ring cadence. There is no safe guess.",
    )
    language: Language = setting(
        "en", right='"en" or "fr"', why="Language of what callers and users hear and read, unless they have their own."
    )


class Asterisk(Table):
    """`[asterisk]`: how to reach it. The service runs beside it, so loopback is the default."""

    ari: bool = setting(
        True,
        right="true or false",
        why="Whether Asterisk offers ARI. Without it calls ask by `[agi]`, and what begins with ari_ is not read.",
    )
    ari_url: str = setting(
        "http://127.0.0.1:8088/ari",
        right="an address http://HOST:PORT/ari (or https://)",
        why="Where ARI answers: bindaddr, bindport and prefix of http.conf.",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
    )
    ari_user: Name = setting("comunik", right="a user of ari.conf", why="The ARI user, not read-only.")
    ari_password_file: str | None = setting(
        None,
        right="a file that holds the password alone",
        why="Keeps the secret out of this file. COMUNIK_PBX_ARI_PASSWORD in the environment goes before it.",
        min_length=1,
    )
    ari_password: str | None = setting(
        None, right="the password", why="Inline, for trials; then keep this file from other users.", min_length=1
    )
    ami_host: str = setting(
        "127.0.0.1", right="a host name or address", why="bindaddr of manager.conf.", pattern=r"^[A-Za-z0-9_.:-]+$"
    )
    ami_port: int = setting(
        5038, unit="TCP port", right="a whole number from 1 to 65535", why="port of manager.conf.", ge=1, le=65535
    )
    ami_user: Name = setting("comunik", right="a user of manager.conf", why="The AMI user.")
    ami_password_file: str | None = setting(
        None,
        right="a file that holds the password alone",
        why="Keeps the secret out of this file. COMUNIK_PBX_AMI_PASSWORD in the environment goes before it.",
        min_length=1,
    )
    ami_password: str | None = setting(
        None, right="the password", why="Inline, for trials; then keep this file from other users.", min_length=1
    )


class Agi(Table):
    """`[agi]`: the entry of calls on a PBX without ARI."""

    listen: str | None = setting(
        None,
        shown="not offered",
        right='an address and a port, such as "127.0.0.1:4573"',
        why="Where calls ask for their plan by FastAGI; `comunik-pbx init` puts it in the place of Stasis().",
        pattern=LISTEN,
    )
    allow: list[str] = setting(
        ["127.0.0.0/8", "::1"],
        shown='["127.0.0.0/8", "::1"]',
        right='a list of addresses or networks, such as ["127.0.0.1"]',
        why="Whose questions are heard: your Asterisk's alone, since AGI has no password.",
    )


class Store(Table):
    """`[store]`: where rules and call records are kept."""

    url: str = setting(
        "sqlite:///comunik.db",
        right="sqlite:///FILE (sqlite:////FILE from the root), or postgresql://USER@HOST/DATABASE",
        why="One file is enough for one PBX. COMUNIK_PBX_STORE_URL in the environment goes before it.",
        pattern=STORE_URL,
    )


class Ringing(Table):
    """`[ringing]`: what a ring is."""

    default_rings: int = setting(
        6,
        unit="rings",
        right="a whole number from 1 to 12",
        why="How long an extension without a rule rings before its mailbox: half a minute in France.",
        ge=1,
        le=12,
    )
    cycle_seconds: float | None = setting(
        None,
        unit="seconds",
        shown="the country's",
        right="a number of seconds from 1 to 20",
        why="One ring, its silence included. Give it where your phones do not follow the country's cadence.",
        ge=1,
        le=20,
        allow_inf_nan=False,
    )
    start_seconds: float = setting(
        10.0,
        unit="seconds",
        right="a number of seconds from 1 to 60",
        why="A phone that has neither rung nor shown any other sign of life for so long is given up as unreachable.",
        ge=1,
        le=60,
        allow_inf_nan=False,
    )


class Forwarding(Table):
    """`[forwarding]`: how far calls may go."""

    max_hops: int = setting(
        5,
        unit="diversions",
        right="a whole number from 1 to 20",
        why="A chain of forwards ends here: carriers refuse longer ones, and callers have given up. So do one number's "
        "calls that an extension sends outside within a minute: they may be one call going round.",
        ge=1,
        le=20,
    )
    allowed_countries: list[Country] | None = setting(
        None,
        shown="`country` alone",
        right='a list of countries\' two capital letters, such as ["FR", "BE"]',
        why="Calls are forwarded to numbers of these countries only: fraud goes abroad.",
    )
    allow: list[NumberPattern] = setting(
        [],
        right='a list of numbers, or beginnings with *, such as ["+3226080000", "+44207*"]',
        why="Numbers allowed although their country is not. Emergency and premium numbers never are.",
    )
    deny: list[NumberPattern] = setting(
        [],
        right='a list of numbers, or beginnings with *, such as ["+33899*"]',
        why="Numbers refused although their country is allowed; goes before allow.",
    )
    prove_numbers: bool = setting(
        False,
        right="true or false",
        why="Users must prove that an outside number is theirs: it is called, and says a code that they type.",
    )


class Prompts(Table):
    """`[prompts]`: spoken words instead of a bare hangup cause."""

    enabled: bool = setting(
        False,
        right="true or false",
        why="Tells the caller when nothing more can be offered. Off, the caller's own network says it, at no cost.",
    )
    announce_forward: bool = setting(
        False,
        right="true or false",
        why="Asks the caller to hold before a call is forwarded, as early media: he is not charged for it.",
    )


class Records(Table):
    """`[records]`: what is remembered of calls."""

    keep_days: int = setting(
        365,
        unit="days",
        right="a whole number from 1 to 3650",
        why="Call records are personal data: a year covers disputes over bills, then they go.",
        ge=1,
        le=3650,
    )


class Metrics(Table):
    """`[metrics]`: figures for Prometheus."""

    listen: str | None = setting(
        None,
        shown="not offered",
        right='an address and a port, such as "127.0.0.1:9410"',
        why="Where GET /metrics is answered, to anybody who can reach it: keep it on loopback or your own network.",
        pattern=LISTEN,
    )


class Portal(Table):
    """`[portal]`: the pages where users set their forwarding."""

    listen: str | None = setting(
        None,
        shown="not offered",
        right='an address and a port, such as "127.0.0.1:8080"',
        why="Where the portal answers, in clear HTTP: beyond loopback put a reverse proxy with TLS before it.",
        pattern=LISTEN,
    )
    url: str | None = setting(
        None,
        shown="http:// and `listen`",
        right='an address such as "https://portal.example.com", without a path',
        why="What people type: links of invitations begin with it.",
        pattern=r"^https?://[^\s/?#@]+$",
    )
    dial_context: Name | None = setting(
        None,
        shown="the keypad does not call",
        right='a context of extensions.conf, such as "from-phones"',
        why="Where calls from the keypad enter your dialplan, as if dialled on the user's phone.",
    )
    trusted_proxies: list[str] = setting(
        [],
        right='a list of addresses or networks, such as ["127.0.0.1"]',
        why="Whose X-Forwarded-For and X-Forwarded-Proto are believed: the reverse proxy alone.",
    )


class Trunk(Table):
    """`[trunks.NAME]`: a way outside. They are tried in the order of the file."""

    dial: str = setting(
        ...,
        right='a dial string with {number}, such as "PJSIP/{number}@carrier"',
        why="How Asterisk dials a number by this trunk. Letters, digits and _ . @ : / + - only.",
        pattern=DIAL,
    )
    endpoints: list[Name] = setting(
        [],
        right='a list of PJSIP endpoint names, such as ["carrier"]',
        why="The PJSIP endpoints whose calls come from this trunk; they never count as internal.",
    )
    number_format: Literal["e164", "national", "international-00"] = setting(
        "e164",
        right='"e164", "national" or "international-00"',
        why="How the carrier wants numbers: +33612345678, 0612345678 (abroad 00…), or 0033612345678.",
    )
    caller_id: Literal["original", "forwarder", "company"] = setting(
        "original",
        right='"original", "forwarder" or "company"',
        why="Whose number a forwarded call shows. Some carriers refuse numbers that are not their customer's.",
    )
    company_number: str | None = setting(
        None,
        right="a telephone number",
        why='Shown when caller_id is "company" (needed then), and for extensions without a DID of their own.',
        min_length=1,
    )
    answer_seconds: float = setting(
        60.0,
        unit="seconds",
        right="a number of seconds from 5 to 300",
        why="A forwarded call rings no longer than this; then the first callee's voicemail takes it.",
        ge=5,
        le=300,
        allow_inf_nan=False,
    )
    progress_seconds: float = setting(
        10.0,
        unit="seconds",
        right="a number of seconds from 1 to 60",
        why="A trunk that shows no ringing nor progress for so long has failed, and the next one is tried.",
        ge=1,
        le=60,
        allow_inf_nan=False,
    )
    history_info: bool = setting(
        False,
        right="true or false",
        why="Sends History-Info (RFC 7044) beside Diversion, for carriers that ask for it.",
    )
    confirm: bool = setting(
        False,
        right="true or false",
        why="Whoever answers must press 1 to take the call, so that a mobile's voicemail cannot swallow it.",
    )


class Extension(Table):
    """`[extensions.NUMBER]`: a user. NUMBER is digits."""

    name: str = setting("", right="a text of at most 80 characters", why="Who it is.", max_length=80)
    endpoints: list[Name] | None = setting(
        None,
        shown="the extension's number",
        right='a list of PJSIP endpoint names, such as ["101"]; [] if there is no phone',
        why="The PJSIP endpoints that ring, all at once, and whose calls count as internal.",
    )
    mailbox: str | None = setting(
        None,
        right='a mailbox BOX@CONTEXT of voicemail.conf, such as "101@default"',
        why="Where messages go when nobody answers. Without one, the call ends.",
        pattern=MAILBOX,
    )
    did: list[str] = setting(
        [],
        right='a list of telephone numbers, such as ["+33170000101"]',
        why="Outside numbers that lead to this extension.",
    )
    busy: Literal["forward", "busy"] = setting(
        "forward",
        right='"forward" or "busy"',
        why="What a busy or declined call does while an internal or external rule is in force.",
    )
    language: Language | None = setting(
        None, shown="the company's", right='"en" or "fr"', why="This user's language, if another."
    )
    confirm: bool | None = setting(
        None,
        shown="the trunk's",
        right="true or false",
        why="Whether who answers a call this user forwards outside must press 1, whatever the trunk says.",
    )
    outside: bool = setting(
        True, right="true or false", why="Whether calls may be forwarded to outside numbers at all."
    )
    max_outside_calls: int | None = setting(
        None,
        unit="calls at a time",
        shown="no limit",
        right="a whole number from 0 to 1000",
        why="Forwarded calls to outside at a time: bounds what a stolen account costs.",
        ge=0,
        le=1000,
    )
    max_outside_calls_per_day: int | None = setting(
        None,
        unit="calls a day",
        shown="no limit",
        right="a whole number from 0 to 100000",
        why="Forwarded calls to outside a day: bounds what a stolen account costs.",
        ge=0,
        le=100_000,
    )


class Forward(Table):
    """`[extensions.NUMBER.forward.KIND]`: a default rule; KIND is always, internal or external."""

    to: str = setting(
        ...,
        right='"voicemail", an extension such as "102", or a telephone number',
        why="Where calls go. The user's own rule goes before it, unless it is locked.",
        min_length=1,
    )
    rings: int | None = setting(
        None,
        unit="rings",
        shown="ringing.default_rings",
        right="a whole number from 0 to 12",
        why="How long the extension rings first; 0 forwards at once. Not for always, which never rings.",
        ge=0,
        le=12,
    )
    enabled: bool = setting(True, right="true or false", why="Off keeps the destination for later.")
    until: Moment | None = setting(
        None,
        shown="no end",
        right="a date and time without quotes, such as 2026-12-24T18:00:00+01:00",
        why="From then on the rule no longer acts. Without an offset it is the machine's local time.",
    )
    locked: bool = setting(False, right="true or false", why="Users cannot have a rule of their own instead.")


KINDS = ("always", "internal", "external")

#: The tables that stand once in a configuration, by name, and those that stand once per name.
TABLES: dict[str, type[Table]] = {
    "asterisk": Asterisk,
    "agi": Agi,
    "store": Store,
    "ringing": Ringing,
    "forwarding": Forwarding,
    "prompts": Prompts,
    "records": Records,
    "metrics": Metrics,
    "portal": Portal,
}
NAMED_TABLES: dict[str, type[Table]] = {"trunks": Trunk, "extensions": Extension}


def documented() -> Iterator[tuple[str, str, FieldInfo]]:
    """Every setting as (section of the documentation, key, field)."""
    sections: list[tuple[str, type[Table]]] = [("", General), *((f"[{name}]", table) for name, table in TABLES.items())]
    sections += [("[trunks.NAME]", Trunk), ("[extensions.NUMBER]", Extension)]
    sections += [("[extensions.NUMBER.forward.KIND]", Forward)]
    for section, table in sections:
        for key, field in table.model_fields.items():
            yield section, key, field


def shown_default(field: FieldInfo) -> str:
    """The default as the documentation shows it."""
    extra = field.json_schema_extra
    if field.is_required():
        return "required"
    if isinstance(extra, dict) and extra.get("shown"):
        return str(extra["shown"])
    words: dict[type, Callable[[Any], str]] = {bool: lambda v: str(v).lower(), str: lambda v: f'"{v}"' if v else '""'}
    return "none" if field.default is None else words.get(type(field.default), str)(field.default)
