"""`comunik-pbx rules …`: see and change what users asked for. Every change is checked against the rules in force."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from comunik_pbx.cli.output import (
    ConfigOption,
    JsonOption,
    Refused,
    columns,
    command,
    load,
    load_with_numbers,
    moment,
    opened,
    print_json,
    print_table,
    shown,
    store_exists,
    who,
)
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import Rule, RuleKind, Rules, ToExtension, ToNumber, effective, of_kind
from comunik_pbx.forwarding.saving import read_destination

if TYPE_CHECKING:
    from comunik_pbx.config import Config
    from comunik_pbx.forwarding.directory import Directory
    from comunik_pbx.store import Store
    from comunik_pbx.store.checked_rules import CheckedRules

rules = typer.Typer(help="See and change forwarding rules.", no_args_is_help=True)

ExtensionArgument = Annotated[str, typer.Argument(metavar="EXTENSION", help="Whose rule, such as 101.")]
KindArgument = Annotated[RuleKind, typer.Argument(metavar="KIND", help="always, internal or external.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who changes it, for the history; cli:USER unless given.")]


@rules.command("show")
@command
async def show(
    extension: Annotated[str | None, typer.Argument(help="Of this extension only.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The rules in force: users' own, and the configuration's defaults where they have none."""
    loaded = load(config)
    if extension is not None:
        _known(extension, loaded)
    stored: Rules = {}
    if store_exists(loaded):
        async with opened(loaded) as store:
            stored = await store.rules()
    _print_rules(_in_force(loaded.default_rules, stored, extension), json, loaded)


@rules.command("set")
@command
async def set_(
    extension: ExtensionArgument,
    kind: KindArgument,
    *,
    to: Annotated[str, typer.Option("--to", help="A number, an extension, or voicemail.")],
    rings: Annotated[
        int | None, typer.Option("--rings", help="0 to 12; as before, or the company's default, unless given.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="From then on it no longer acts.")] = None,
    by: ByOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Set a rule and switch it on."""
    loaded = await load_with_numbers(config)
    _known(extension, loaded)
    destination = read_destination(to, loaded.directory)
    if isinstance(destination, Refusal):
        raise _refused(destination, loaded)
    async with opened(loaded) as store:
        before = of_kind(effective(loaded.default_rules, await store.rules()), extension, kind)
        rule = Rule(
            extension=extension,
            kind=kind,
            to=destination,
            rings=_rings(kind, rings, before, loaded),
            until=moment(until, "--until") if until else None,
        )
        if refusal := await _checked(store, loaded).save(rule, by=by or who()):
            raise _refused(refusal, loaded)
        await _print_now(extension, kind, store, loaded, json)


@rules.command("off")
@command
async def off(
    extension: ExtensionArgument,
    kind: KindArgument,
    by: ByOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Switch a rule off; its destination is kept."""
    await _switch(extension, kind, await load_with_numbers(config), enabled=False, by=by, json=json)


@rules.command("on")
@command
async def on(
    extension: ExtensionArgument,
    kind: KindArgument,
    by: ByOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Switch a rule on again."""
    await _switch(extension, kind, await load_with_numbers(config), enabled=True, by=by, json=json)


@rules.command("clear")
@command
async def clear(
    extension: ExtensionArgument,
    kind: KindArgument,
    by: ByOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Forget a user's rule; the configuration's default acts again, if there is one."""
    loaded = await load_with_numbers(config)
    async with opened(loaded) as store:
        try:
            refusal = await _checked(store, loaded).clear(extension, kind, by=by or who())
        except KeyError:
            _known(extension, loaded)
            raise Refused(f"extension {extension} has no {kind} rule of its own") from None
        if refusal:
            raise _refused(refusal, loaded)
        await _print_now(extension, kind, store, loaded, json)


@rules.command("export")
@command
async def export(config: ConfigOption = None) -> None:
    """Users' rules as JSON on standard output, for `rules import`."""
    loaded = load(config)
    stored: Rules = {}
    if store_exists(loaded):
        async with opened(loaded) as store:
            stored = await store.rules()
    print_json({"format": 1, "rules": [_exported(rule) for rule in each(stored)]})


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A rule in an exported file."""

    extension: str
    kind: RuleKind
    to: str
    rings: int = 0
    enabled: bool = True
    until: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[_Written]
    format: int = 1


@rules.command("import")
@command
async def import_(
    file: Annotated[str, typer.Argument(help="A file that `rules export` wrote, or - for standard input.")],
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Set the rules of a file, all or none: if one is refused, all problems are listed and nothing changes."""
    loaded = await load_with_numbers(config)
    written = _read_file(file)
    async with opened(loaded) as store:
        wanted, problems = _wanted(written, loaded)
        rules_wanted = [rule for _, rule in wanted]
        found = await _checked(store, loaded).save_all(rules_wanted, by=by or who(), try_only=bool(problems))
        refusals = [(place, refusal) for (place, _), refusal in zip(wanted, found, strict=True) if refusal]
        problems += [f"{place}: {_words(refusal, loaded)}" for place, refusal in refusals]
        if problems:
            raise Refused("\n".join([*problems, f"nothing was imported ({len(problems)} refused)"]))
    typer.echo(f"{len(wanted)} rule{'s' if len(wanted) != 1 else ''} imported")


def _read_file(name: str) -> _File:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return msgspec.json.decode(content, type=_File)
    except OSError as error:
        raise Refused(f"{name}: {error.strerror or error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(f"{name}: not what `rules export` writes: {error}") from None


def _wanted(written: _File, config: "Config") -> tuple[list[tuple[str, Rule]], list[str]]:
    wanted: list[tuple[str, Rule]] = []
    problems: list[str] = []
    if written.format != 1:
        return wanted, [f"format: is {written.format}; right: 1"]
    seen: set[tuple[str, RuleKind]] = set()
    for number, line in enumerate(written.rules):
        place = f"rules[{number}] ({line.extension}/{line.kind})"
        if (line.extension, line.kind) in seen:
            problems.append(f"{place}: is given twice")
            continue
        seen.add((line.extension, line.kind))
        to = read_destination(line.to, config.directory)
        try:
            until = moment(line.until, "until") if line.until else None
        except typer.BadParameter as error:
            problems.append(f"{place}: until: {error.message}")
            continue
        if isinstance(to, Refusal):
            problems.append(f"{place}: to: {_words(to, config)}")
            continue
        rule = Rule(
            extension=line.extension, kind=line.kind, to=to, rings=line.rings, enabled=line.enabled, until=until
        )
        wanted.append((place, rule))
    return wanted, problems


# -- what is in force ----------------------------------------------------------------------------------------------


def each(rules: Rules) -> list[Rule]:
    """All rules, by extension and kind."""
    found = (of_kind(rules, extension, kind) for extension in sorted(rules) for kind in RuleKind)
    return [rule for rule in found if rule is not None]


def _in_force(defaults: Rules, stored: Rules, extension: str | None) -> list[Rule]:
    return [rule for rule in each(effective(defaults, stored)) if extension in (None, rule.extension)]


def _rings(kind: RuleKind, asked: int | None, before: Rule | None, config: "Config") -> int:
    if kind is RuleKind.ALWAYS:
        if asked:
            raise typer.BadParameter("always never rings; leave it out", param_hint="--rings")
        return 0
    if asked is not None:
        return asked
    return before.rings if before is not None else config.directory.default_rings


def _checked(store: "Store", config: "Config") -> "CheckedRules":
    """Who may use this command is an administrator: the outside numbers he sets need no other proof."""
    return store.checked(config.directory, config.default_rules, vouched=True)


async def _switch(
    extension: str, kind: RuleKind, config: "Config", *, enabled: bool, by: str | None, json: bool
) -> None:
    async with opened(config) as store:
        try:
            refusal = await _checked(store, config).switch(extension, kind, enabled, by=by or who())
        except KeyError:
            _known(extension, config)
            right = f"rules set {extension} {kind} --to …"
            raise Refused(f"extension {extension} has no {kind} rule; set one: {right}") from None
        if refusal:
            raise _refused(refusal, config)
        await _print_now(extension, kind, store, config, json)


def _known(extension: str, config: "Config") -> None:
    from comunik_pbx.config.hints import extensions  # noqa: PLC0415

    if extension not in config.directory.extensions:
        raise Refused(f"there is no extension {extension}; right: {extensions(config.directory)}")


def _words(refusal: Refusal, config: "Config") -> str:
    from comunik_pbx.config import hint  # noqa: PLC0415

    return f"{refusal.words()}; right: {hint(refusal, config.directory)}"


def _refused(refusal: Refusal, config: "Config") -> Refused:
    return Refused(_words(refusal, config))


# -- how rules look ------------------------------------------------------------------------------------------------


def rule_json(rule: Rule) -> dict[str, Any]:
    """A rule as `rules show --json` prints it; `source` says whether it is the user's own or the configuration's."""
    return {
        "extension": rule.extension,
        "kind": rule.kind.value,
        "to": str(rule.to),
        "to_kind": _to_kind(rule),
        "rings": rule.rings,
        "enabled": rule.enabled,
        "until": rule.until.isoformat() if rule.until else None,
        "expired": _expired(rule),
        "source": "user" if rule.version else "config",
        "locked": rule.locked,
        "version": rule.version,
        "changed_by": rule.changed_by,
        "changed_at": rule.changed_at.isoformat() if rule.changed_at else None,
    }


def _to_kind(rule: Rule) -> str:
    match rule.to:
        case ToExtension():
            return "extension"
        case ToNumber():
            return "number"
    return "voicemail"


def _exported(rule: Rule) -> Mapping[str, Any]:
    to = str(rule.to) if _to_kind(rule) == "voicemail" else f"{_to_kind(rule)} {rule.to}"
    until = rule.until.isoformat() if rule.until else None
    its = {"extension": rule.extension, "kind": rule.kind.value, "to": to, "rings": rule.rings}
    return {**its, "enabled": rule.enabled, "until": until}


def _expired(rule: Rule) -> bool:
    from datetime import datetime  # noqa: PLC0415

    return rule.expired(datetime.now().astimezone())


def _state(rule: Rule) -> str:
    if not rule.enabled:
        return "off"
    if rule.until is None:
        return "on"
    return f"expired {shown(rule.until)}" if _expired(rule) else f"on until {shown(rule.until)}"


def _print_rules(found: list[Rule], json: bool, config: "Config") -> None:
    if json:
        print_json([rule_json(rule) for rule in found])
        return
    if not found:
        typer.echo(f"no rules: extensions ring {config.directory.default_rings} times, then their voicemail")
        return
    table = columns("extension", "rule", "to", "rings", "state", "by", "changed")
    for rule in found:
        rings = "" if rule.kind is RuleKind.ALWAYS else str(rule.rings)
        by = f"{rule.changed_by}{', locked' if rule.locked else ''}"
        table.add_row(rule.extension, rule.kind.value, str(rule.to), rings, _state(rule), by, shown(rule.changed_at))
    print_table(table)


async def _print_now(extension: str, kind: RuleKind, store: "Store", config: "Config", json: bool) -> None:
    rule = of_kind(effective(config.default_rules, await store.rules()), extension, kind)
    if json:
        print_json(rule_json(rule) if rule else None)
    elif rule is None:
        typer.echo(f"{extension} {kind}: no rule")
    else:
        typer.echo(_sentence(rule, config.directory))


def _sentence(rule: Rule, directory: "Directory") -> str:
    """What is now in force: `101 external: to +33612345678 after 3 rings, on`."""
    to = directory.extensions.get(str(rule.to))
    name = f" ({to.name})" if to is not None and to.name else ""
    after = {0: " at once", 1: " after 1 ring"}.get(rule.rings, f" after {rule.rings} rings")
    when = " without ringing" if rule.kind is RuleKind.ALWAYS else after
    source = "" if rule.version else ", from the configuration"
    return f"{rule.extension} {rule.kind}: to {rule.to}{name}{when}, {_state(rule)}{source}"
