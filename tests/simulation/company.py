"""The simulated company: its directory, and rules as people may set them."""

import random
from datetime import UTC, datetime
from pathlib import Path

from comunik_pbx.config import Asterisk, Config
from comunik_pbx.forwarding.directory import BusyPolicy, Directory, Extension, Trunk
from comunik_pbx.forwarding.numbers import NumberFormat, NumberPolicy
from comunik_pbx.forwarding.rules import (
    Destination,
    ExtensionRules,
    Rule,
    RuleKind,
    Rules,
    ToExtension,
    ToNumber,
    ToVoicemail,
)
from tests.simulation.asterisk import AMI_PORT, ARI_PORT

NUMBERS = tuple(str(number) for number in range(101, 109))
LIMITED = "103"
"""Forwards one call at a time to outside."""

OUTSIDE = ("+33612345678", "+33687654321", "+33140000000")


def directory() -> Directory:
    """101 to 108: 107 has neither mailbox nor DID, 108 no phone, 105 two; two trunks."""
    people = []
    for number in NUMBERS:
        plain = number != "107"
        people.append(
            Extension(
                number=number,
                endpoints=() if number == "108" else (number, f"{number}-dect") if number == "105" else (number,),
                mailbox=f"{number}@default" if plain else None,
                did=(f"+33170000{number}",) if plain else (),
                busy=BusyPolicy.BUSY if number == "106" else BusyPolicy.FORWARD,
                max_outside_calls=1 if number == LIMITED else None,
            )
        )
    trunks = (
        Trunk(name="carrier", dial="PJSIP/{number}@carrier", endpoints=("carrier",)),
        Trunk(name="backup", dial="PJSIP/{number}@backup", number_format=NumberFormat.NATIONAL),
    )
    return Directory.of(people, trunks=trunks, numbers=NumberPolicy(country="FR", allowed_countries=("FR",)))


DIRECTORY = directory()
CONFIG = Config(
    path=Path("comunik.toml"),
    files=(),
    country="FR",
    language="fr",
    asterisk=Asterisk(
        ari_url=f"http://127.0.0.1:{ARI_PORT}/ari",
        ari_user="comunik",
        ari_password="secret",
        ami_host="127.0.0.1",
        ami_port=AMI_PORT,
        ami_user="comunik",
        ami_password="secret",
    ),
    store_url="sqlite:///simulated",
    directory=DIRECTORY,
    default_rules={},
    prompts_enabled=False,
    announce_forward=False,
    keep_days=90,
)


def changed(rules: Rules, chance: random.Random, now: float) -> dict[str, ExtensionRules]:
    """The rules after somebody changed one; `now` is in seconds of the epoch."""
    extension = chance.choice(NUMBERS)
    kind = chance.choice(list(RuleKind))
    own = rules.get(extension, ExtensionRules())
    before = getattr(own, kind.value)
    rule = None
    if before is None or chance.random() < 0.7:
        choices: list[Destination] = [
            ToVoicemail(),
            ToExtension(chance.choice(NUMBERS)),
            ToNumber(chance.choice(OUTSIDE)),
        ]
        to = chance.choice(choices)
        until = None if chance.random() < 0.7 else now + chance.choice([1.0, 30.0, 600.0])
        rule = Rule(
            extension=extension,
            kind=kind,
            to=to,
            rings=chance.choice([0, 1, 3, 6]),
            until=None if until is None else datetime.fromtimestamp(int(until), UTC),
            enabled=chance.random() < 0.9,
            version=1 if before is None else before.version + 1,
        )
    fields = {each.value: getattr(own, each.value) for each in RuleKind} | {kind.value: rule}
    return {**rules, extension: ExtensionRules(**fields)}
