"""What the dialplan finds in AstDB while the service is away: compiled plans, and who is behind which number.

Keys below the family `comunik-plan`; `dialplan/fallback.conf` reads them, docs/reliability.md explains them:

    external/101        the plan for calls from outside to extension 101
    internal/101        for calls from inside
    102/101             for calls of 102 himself, if a rule would lead back to him
    endpoint/phone-102  102: calls from this PJSIP endpoint are calls of 102, and from inside
    did/33170000101     101: this DID, without +, and its national writing, lead to 101

A plan may end with a rule. `1766570400>1|…` is a plan until that second (of the epoch), and from then on the one at
`external/101/1766570400`, which may itself have an end: a service that died before then is not needed. A value longer
than AMI can carry ends with `>` and goes on at its key with `/more`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.forwarding.call import Call, Caller, Origin
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.numbers import NumberFormat
from comunik_pbx.forwarding.plan import NO_RULES, plan
from comunik_pbx.forwarding.rules import Rules

FAMILY = "comunik-plan"

LONGEST_VALUE = 900
"""Bytes of one entry: what an AMI header surely carries (Asterisk's limit is 1024 with its name)."""

_INSIDE = Caller(extension="")
"""Somebody inside who is nobody's destination."""


class FallbackPlans(msgspec.Struct, frozen=True, gc=False):
    """The entries of one extension, those that others lead to first.

    `consulted` are the extensions whose rules they depend on; `until` is the first moment at which a rule ends and
    entries become superfluous, None if there is none. (Of 10,000 the garbage collector need not keep account.)
    """

    entries: Mapping[str, str]
    consulted: frozenset[str]
    until: datetime | None


def fallback_plans(extension: str, directory: Directory, rules: Rules, now: datetime) -> FallbackPlans:
    """Compile what calls to this extension do from `now` on, as `plan` decides, for ever if nothing changes.

    What depends on one caller's number (a rule that leads to the very number that calls) or on counts (limits of
    forwarded calls) is left out. Raises NotAPlan if a plan cannot be encoded.
    """
    consulted: set[str] = set()

    def from_now_on(caller: Caller) -> list[tuple[datetime | None, str]]:
        return _alternatives(Call(caller=caller, called=extension), directory, rules, now, consulted)

    outside, inside = from_now_on(Caller()), from_now_on(_INSIDE)
    plans = {f"{Origin.EXTERNAL}/{extension}": outside, f"{Origin.INTERNAL}/{extension}": inside}
    for caller in sorted(consulted - {extension}):
        own = from_now_on(Caller(extension=caller))
        if own != inside:
            plans[f"{caller}/{extension}"] = own
    entries: dict[str, str] = {}
    for key, alternatives in plans.items():
        entries |= _entries(key, alternatives)
    ends = [end for alternatives in plans.values() for end, _ in alternatives if end is not None]
    return FallbackPlans(entries, frozenset(consulted), min(ends, default=None))


def _alternatives(
    call: Call, directory: Directory, rules: Rules, now: datetime, consulted: set[str]
) -> list[tuple[datetime | None, str]]:
    """The plans from `now` on, each with the moment that ends it; the last has None. Adds to `consulted`."""
    found: list[tuple[datetime | None, str]] = []
    at: datetime | None = now
    while at is not None:
        decision = plan(call, directory, rules, at)
        visited = {call.called, *(entry.extension for entry in decision.trace)}
        consulted |= visited
        # Rules only ever end, so the plan can change at the ends of those it was made from, and at no other time.
        end = min(_ends(visited, call.caller.origin, rules, at), default=None)
        encoded = encode(decision.steps)
        if found and found[-1][1] == encoded:
            found.pop()
        found.append((end, encoded))
        at = end
    return found


def _ends(extensions: set[str], origin: Origin, rules: Rules, now: datetime) -> Iterator[datetime]:
    for extension in extensions:
        its = rules.get(extension, NO_RULES)
        for rule in (its.always, its.of_origin(origin)):
            if rule is not None and rule.enabled and rule.until is not None and rule.until > now:
                yield rule.until


def _entries(key: str, alternatives: list[tuple[datetime | None, str]]) -> dict[str, str]:
    """The later ones first: whoever writes them in this order never points at what is not there yet."""
    entries: dict[str, str] = {}
    at = key
    for end, encoded in alternatives:
        # A second too early rather than too late: a rule must not act after its end.
        moment = "" if end is None else str(int(end.timestamp()))
        entries |= _pieces(at, f"{moment}>{encoded}" if moment else encoded)
        at = f"{key}/{moment}"
    return dict(reversed(entries.items()))


def _pieces(key: str, value: str) -> dict[str, str]:
    pieces: dict[str, str] = {}
    while len(value) > LONGEST_VALUE:
        pieces[key] = value[: LONGEST_VALUE - 1] + ">"
        key, value = f"{key}/more", value[LONGEST_VALUE - 1 :]
    pieces[key] = value
    return pieces


def addresses(directory: Directory) -> Iterator[tuple[str, str]]:
    """Entries that say who is behind an endpoint and a DID."""
    for endpoint, extension in directory.by_endpoint.items():
        yield f"endpoint/{endpoint}", extension
    for did, extension in directory.by_did.items():
        for written in writings(did, directory):
            digits = written.removeprefix("+")  # the dialplan looks for digits
            if digits not in directory.extensions:
                yield f"did/{digits}", extension


def writings(did: str, directory: Directory) -> list[str]:
    """A DID as carriers and phones write it: E.164, without its +, national; not what is an extension's number."""
    national = directory.numbers.formatted(did, NumberFormat.NATIONAL)
    return [w for w in dict.fromkeys((did, did.removeprefix("+"), national)) if w not in directory.extensions]
