"""What `init` and the sandbox give Asterisk to include: dialplan/, as the configuration says, and the default plans."""

import re
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.calls.fallback_plans import writings
from comunik_pbx.cli.output import Refused
from comunik_pbx.config import Config
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.plan import plan

_HEAD = """\
; comunik-pbx: what happens to a call when there is neither a service nor a published plan.
; Written by `comunik-pbx init`; write it again with --force when extensions come or go.

[comunik-default]
"""


DEFAULT_PLANS = "default-plans.conf"

FASTAGI = "fastagi.conf"
"""Added to incoming.conf where calls ask by AGI, so that one file says how they come in."""

_STASIS = re.compile(r"(?<=,)Stasis\(comunik-pbx,.*\)$", re.MULTILINE)
"""The priority of incoming.conf that FastAGI stands in for."""

_SHORT_CUT = re.compile(r"(?<=^exten => _\[\+0-9\]!,1,)GotoIf\(.*?(?=^ same => n\(ask\),)", re.MULTILINE | re.DOTALL)
"""What most calls take on their way to Stasis(); on that to AGI() each goes the long way, which serves all."""

_TELLS = re.compile(r" same => n\(tell\),TryExec\(Stasis\(.*\n")
"""The priority of record.conf that tells the end of a call by ARI."""


def dialplan(config: Config) -> dict[str, str]:
    """The files of `comunik/`, by name."""
    sources = [s for s in sorted(packaged("dialplan").glob("*.conf")) if s.name not in (DEFAULT_PLANS, FASTAGI)]
    return {source.name: _adapted(source, config) for source in sources} | {
        DEFAULT_PLANS: default_plans(config.directory)
    }


def packaged(name: str) -> Path:
    """`dialplan` or `sounds`: of an installed wheel, else of the checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "_files" / name, package.parent / name):
        if place.is_dir():
            return place
    raise Refused(f"this installation lacks its {name}/; install comunik-pbx again")


def _adapted(source: Path, config: "Config") -> str:
    """The dialplan's file as it is, with what the configuration says about prompts and ringing."""
    text = source.read_text(encoding="utf-8")
    if source.name == "settings.conf":
        seconds = config.directory.default_rings * config.directory.cycle_seconds
        text = text.replace("Set(CK_DEFAULT_SECONDS=30)", f"Set(CK_DEFAULT_SECONDS={seconds:g})")
        if config.prompts_enabled:
            text = text.replace("Set(CK_PROMPTS=no)", "Set(CK_PROMPTS=yes)")
        if config.announce_forward:
            text = text.replace("Set(CK_ANNOUNCE=no)", "Set(CK_ANNOUNCE=yes)")
    if source.name == "incoming.conf":
        text = text.replace("<= 5]", f"<= {config.directory.max_hops}]")
        if config.agi.listen:
            entry = source.with_name(FASTAGI).read_text(encoding="utf-8")
            entry = entry.replace("agi://127.0.0.1:4573/", f"agi://{_asked_at(config.agi.listen)}/")
            text = _SHORT_CUT.sub("Goto(unusual)\n", text, count=1)
            text = _STASIS.sub("Goto(comunik-agi,${CK_CALLED},1)", text) + "\n" + entry
    if source.name == "record.conf" and not config.asterisk.ari:
        text = _TELLS.sub("", text).replace(" same => n,Return()", " same => n(tell),Return()")  # it is collected
    return text


def _asked_at(listen: tuple[str, int]) -> str:
    """Where Asterisk reaches what listens: on every address means on loopback too."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen[0], listen[0])  # noqa: S104
    return f"[{host}]:{listen[1]}" if ":" in host else f"{host}:{listen[1]}"


def default_plans(directory: Directory) -> str:
    """The file's text: an `exten` for each extension and each writing of each DID (docs/dialplan.md)."""
    # Without rules nothing depends on the caller nor on the hour.
    caller, now = Caller(withheld=True), datetime(2000, 1, 1, tzinfo=UTC)
    lines: list[str] = []
    for number, extension in directory.extensions.items():
        encoded = encode(plan(Call(caller=caller, called=number), directory, {}, now).steps)
        lines.append(f"; {number}{f': {_commented(extension.name)}' if extension.name else ''}")
        for dialled in (number, *chain.from_iterable(writings(did, directory) for did in extension.did)):
            lines += [f"exten => {dialled},1,Set(CK_PLAN={encoded})", " same => n,Return()"]
    return _HEAD + "\n".join(lines) + ("\n" if lines else "")


def _commented(name: str) -> str:
    """A name on one line: it stands in a comment, which ends with the line (and `--;` would end a block)."""
    return " ".join(name.split()).replace(";", ",")
