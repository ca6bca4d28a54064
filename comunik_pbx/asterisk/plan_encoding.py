"""A plan as one string for the dialplan, `CK_PLAN`, and back.

`1|step|step…`: the format's version, then the steps; `~` stands between the fields of a step, `&` between
endpoints (docs/dialplan.md lists the fields). `;` would start a comment in extensions.conf, `,` would split
arguments, `$` `{` `[` `"` would be evaluated: no value may hold any of them, and `encode` refuses one that does
rather than trust where it came from.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from comunik_pbx.forwarding.directory import CallerIdPolicy
from comunik_pbx.forwarding.steps import (
    Confirm,
    Diversion,
    End,
    Forward,
    Greeting,
    OnBusy,
    Reason,
    Ring,
    Step,
    Voicemail,
)

FORMAT = "1"

_SAFE = re.compile(r"[A-Za-z0-9_.@:/+-]*")


class NotAPlan(ValueError):
    """A value that must not go into the dialplan, or a string that is no plan: which, and why."""


LATE_MARGIN_SECONDS = 1.0
"""How much longer than the latest exact end the dialplan's own time for a watched ring step is."""

TENTH_SECONDS = 0.1
"""So much less than asked `Dial()` rings, so that one more ring never starts."""

SHORTEST_SECONDS = 1.1
"""Of a ring step, of which the dialplan takes a tenth off: `Dial()` before 20.17 and 22.7 knows whole seconds only, and
takes less than one for no limit at all."""


def encode(steps: tuple[Step, ...], *, watched: bool = False, received: str = "") -> str:
    """The steps as `CK_PLAN` holds them. Raises NotAPlan if a value has characters of the dialplan's syntax.

    With `watched` the service ends the ringing itself, so many seconds after it has begun; else the dialplan ends it,
    so many seconds after the INVITE. `received` is the caller's number as it came: a forward that shows just that need
    not say it, so that many callers share one plan.
    """
    rung: dict[str, int] = {}
    encoded = [FORMAT]
    for number, step in enumerate(steps, 1):
        if isinstance(step, Ring):
            rung[step.extension] = number
        encoded.append(_fields(step, rung, watched, received))
    return "|".join(encoded)


def _fields(step: Step, rung: dict[str, int], watched: bool, received: str) -> str:
    match step:
        case Ring():
            return _ring(step, watched)
        case Forward():
            return _forward(step, received)
        case Voicemail():
            return _voicemail(step, rung.get(step.extension, 0))
        case End():
            return f"end~{step.cause}"


@lru_cache(maxsize=1024)
def _ring(step: Ring, watched: bool) -> str:
    endpoints = "&".join([_checked(endpoint) for endpoint in step.endpoints])
    head = ["ring", _checked(step.extension), endpoints, str(step.rings), _seconds(step.seconds), step.on_busy]
    late = _late(step.seconds, step.start_seconds, watched)
    return "~".join([*head, *_diversion(step.diversion), _seconds(step.start_seconds), _seconds(late)])


@lru_cache(maxsize=1024)
def _voicemail(step: Voicemail, owner: int) -> str:
    return "~".join(["voicemail", _checked(step.mailbox), step.greeting, _checked(step.extension), str(owner)])


def _forward(step: Forward, received: str) -> str:
    return _shown_forward(msgspec.structs.replace(step, shown=_shown(step, received)))


@lru_cache(maxsize=1024)
def _shown_forward(step: Forward) -> str:
    """A forward that shows what it says: for most callers it is the same one."""
    head = ["forward", _checked(step.dial), _seconds(step.seconds), _seconds(step.progress_seconds)]
    tail = [
        _checked(step.to),
        _checked(step.trunk),
        step.caller_id,
        _checked(step.shown or ""),
        _confirm(step.confirm),
        "&".join([_earlier(diversion) for diversion in step.earlier]),
    ]
    if step.history:
        tail.append(_checked(step.history))
    return "~".join([*head, _flag(step.fallback), *_diversion(step.diversion), *tail])


def _late(seconds: float, start_seconds: float, watched: bool) -> float:
    """How much longer than asked `Dial()`'s own time is."""
    return start_seconds + LATE_MARGIN_SECONDS if watched else max(0.0, SHORTEST_SECONDS - seconds)


@lru_cache(maxsize=256)
def dial_time(seconds: float, start_seconds: float, *, watched: bool, knows_start: bool) -> str:
    """The time of `Dial()` for a ring step, as comunik-step-ring works it out: `25.9:^10`.

    `knows_start` says whether this Asterisk's `Dial()` can give up what shows no sign of life (20.7, 21.2 and later).
    """
    lasts = seconds - TENTH_SECONDS + _late(seconds, start_seconds, watched)
    return _seconds(lasts) + (f":^{_seconds(start_seconds)}" if knows_start else "")


def _shown(step: Forward, received: str) -> str:
    """The number to show; empty for the caller's as it came, unless it is the forwarder's too."""
    as_it_came = step.caller_id is CallerIdPolicy.ORIGINAL and step.shown == received != step.diversion.number
    return "" if as_it_came else step.shown or ""


def _diversion(diversion: Diversion | None) -> list[str]:
    if diversion is None:
        return ["", "", "", ""]
    return [_checked(diversion.extension), _checked(diversion.number), diversion.reason, str(diversion.count)]


def _earlier(diversion: Diversion) -> str:
    """An earlier diversion: `extension/number/reason`."""
    return f"{_checked(diversion.extension)}/{_checked(diversion.number)}/{diversion.reason}"


def _confirm(confirm: Confirm | None) -> str:
    """`0`, a language, or `language:digits` to say of the caller."""
    if confirm is None:
        return "0"
    return _checked(confirm.language if confirm.caller is None else f"{confirm.language}:{confirm.caller}")


def _checked(value: str) -> str:
    if not _SAFE.fullmatch(value):
        raise NotAPlan(f"{value!r} cannot stand in a plan: only letters, digits and _ . @ : / + - can")
    return value


def _seconds(value: float) -> str:
    """Seconds with at most three decimals, never in scientific notation."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _flag(value: bool) -> str:
    return "1" if value else "0"


def decode(text: str) -> tuple[Step, ...]:
    """The steps in a `CK_PLAN`. Raises NotAPlan if it is none that this version can read."""
    version, *steps = text.split("|")
    if version != FORMAT:
        raise NotAPlan(f"plan format {version!r}: this version reads format {FORMAT}")
    try:
        return tuple(_step(iter(step.split("~"))) for step in steps)
    except (StopIteration, ValueError, RuntimeError) as error:
        raise NotAPlan(f"not a plan: {text!r}") from error


def _step(fields: Iterator[str]) -> Step:
    kind = next(fields)
    step: Step
    match kind:
        case "ring":
            extension, endpoints, rings = next(fields), next(fields), int(next(fields))
            names = tuple(endpoints.split("&")) if endpoints else ()
            seconds, on_busy, diversion = float(next(fields)), OnBusy(next(fields)), _read_diversion(fields)
            step = Ring(extension, names, rings, seconds, on_busy, diversion)
            if start := next(fields, ""):  # the dialplan's own plans have none
                step = msgspec.structs.replace(step, start_seconds=float(start))
            float(next(fields, "0"))  # late_seconds: between the service and the dialplan, no part of the decision
        case "forward":
            dial, seconds, progress = next(fields), float(next(fields)), float(next(fields))
            fallback, diversion = next(fields) == "1", _read_diversion(fields)
            if diversion is None:
                raise NotAPlan("a forward says who diverted")
            to, trunk, policy, shown = next(fields), next(fields), CallerIdPolicy(next(fields)), next(fields) or None
            confirm, earlier = _read_confirm(next(fields)), _read_earlier(next(fields), diversion.count)
            step = Forward(to, trunk, dial, seconds, progress, diversion, fallback, policy, shown, confirm, earlier)
            if history := next(fields, ""):  # the dialplan's own plans have none
                step = msgspec.structs.replace(step, history=history)
        case "voicemail":
            mailbox, greeting, extension, _ = (
                next(fields),
                Greeting(next(fields)),
                next(fields),
                int(next(fields)),
            )
            step = Voicemail(extension, mailbox, greeting)
        case "end":
            step = End(int(next(fields)))
        case _:
            raise NotAPlan(f"unknown step {kind!r}")
    if (surplus := next(fields, None)) is not None:
        raise NotAPlan(f"surplus field {surplus!r}")
    return step


def _read_diversion(fields: Iterator[str]) -> Diversion | None:
    extension, number, reason, count = next(fields), next(fields), next(fields), next(fields)
    return Diversion(extension, number, Reason(reason), int(count)) if extension else None


def _read_confirm(field: str) -> Confirm | None:
    language, _, caller = field.partition(":")
    return None if field == "0" else Confirm(language, caller or None)


def _read_earlier(field: str, count: int) -> tuple[Diversion, ...]:
    read = []
    for before, entry in enumerate(field.split("&") if field else (), 1):
        extension, number, reason = entry.split("/")
        read.append(Diversion(extension, number, Reason(reason), count - before))
    return tuple(read)
