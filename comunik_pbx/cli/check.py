"""`comunik-pbx check`: everything that is wrong in the configuration, at once; with --live, in its surroundings too."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from comunik_pbx.cli.output import ConfigOption, JsonOption, command, opened, print_json, store_exists

if TYPE_CHECKING:
    from comunik_pbx.cli.live import Finding
    from comunik_pbx.config import Config


@command
async def check(
    live: Annotated[bool, typer.Option("--live", help="Try Asterisk and the store too.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List everything that is wrong, each with file and key."""
    from comunik_pbx import config as configuration  # noqa: PLC0415

    path = configuration.find(config)
    try:
        loaded = configuration.load(path)
    except configuration.ConfigProblems as wrong:
        if json:
            print_json({"ok": False, "problems": [problem.as_json() for problem in wrong.problems], "notes": []})
        for problem in wrong.problems:
            typer.echo(str(problem), err=True)
        typer.echo(f"{_count(len(wrong.problems), 'problem')}; nothing else was tried", err=True)
        raise typer.Exit(1) from None
    loaded = replace(loaded, notes=(*loaded.notes, *await _unproven(loaded)))
    findings = await _live(loaded) if live else []
    failed = [finding for finding in findings if not finding.ok]
    if json:
        print_json(_as_json(loaded, findings))
    else:
        _print(loaded, findings)
    for finding in failed:
        typer.echo(f"{finding.subject}: {finding.words}", err=True)
    if failed:
        raise typer.Exit(1)


async def _unproven(config: "Config") -> list[str]:
    """Rules that are on and are not followed, because nobody has proven their numbers (forwarding.prove_numbers)."""
    if config.directory.proven is None or not store_exists(config):
        return []
    from comunik_pbx.cli.number import unproven_rules  # noqa: PLC0415
    from comunik_pbx.store import StoreError  # noqa: PLC0415

    try:
        async with opened(config) as store:
            directory = config.directory.allowing(await store.allow_list.enabled())
            directory = directory.proving(await store.proven.by_extension())
        missing = await unproven_rules(replace(config, directory=directory))
    except StoreError as error:
        return [f"whether rules lead to numbers that nobody has proven is not known: {error}"]
    way = "comunik-pbx number prove {0.extension} {0.to}"
    return [f"rule {rule.id} is not followed until {rule.to} is proven ({way.format(rule)})" for rule in missing]


async def _live(config: "Config") -> "list[Finding]":
    from comunik_pbx.cli.live import findings  # noqa: PLC0415

    return await findings(config)


def _as_json(config: "Config", findings: "list[Finding]") -> dict[str, Any]:
    return {
        "ok": all(finding.ok for finding in findings),
        "problems": [],
        "notes": list(config.notes),
        "live": [{"subject": f.subject, "ok": f.ok, "words": f.words} for f in findings],
    }


def _print(config: "Config", findings: "list[Finding]") -> None:
    directory = config.directory
    rules = sum(
        rule is not None for its in config.default_rules.values() for rule in (its.always, its.internal, its.external)
    )
    counts = (
        (len(directory.extensions), "extension"),
        (len(directory.trunks), "trunk"),
        (len(directory.by_did), "DID"),
        (rules, "default rule"),
    )
    typer.echo(f"{config.path}: good: {', '.join(_count(number, noun) for number, noun in counts)}")
    for note in config.notes:
        typer.echo(f"note: {note}")
    for finding in findings:
        if finding.ok:
            typer.echo(f"{finding.subject}: {finding.words}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
