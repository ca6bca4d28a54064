"""The decision: a call, the directory, the rules and the hour give a plan, a short list of steps with reasons."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from comunik_pbx.forwarding.call import Call, Origin
from comunik_pbx.forwarding.directory import BusyPolicy, CallerIdPolicy, Directory, Extension, Trunk
from comunik_pbx.forwarding.numbers import NumberFormat
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.forwarding.rules import (
    ExtensionRules,
    Rule,
    RuleKind,
    Rules,
    ToExtension,
    ToNumber,
    ToVoicemail,
)
from comunik_pbx.forwarding.steps import (
    ANONYMOUS,
    Confirm,
    Diversion,
    End,
    Forward,
    OnBusy,
    Reason,
    Ring,
    Step,
    Voicemail,
)


class Why(StrEnum):
    """Why steps are in a plan, when it is not a refusal."""

    ALWAYS = "always"  # a rule of kind always: no ringing
    AT_ONCE = "at-once"  # an internal or external rule with 0 rings
    AFTER_RINGS = "after-rings"  # an internal or external rule
    DEFAULT = "default"  # no rule: ring, then voicemail or the end
    OWN_CALL = "own-call"  # the caller calls his own extension, which cannot ring
    NO_ENDPOINT = "no-endpoint"  # nothing of this extension can ring
    FIRST_MAILBOX = "first-mailbox"  # nobody answered: the first callee's voicemail
    NOBODY = "nobody"  # nobody answered and there is no mailbox
    CAME_BACK = "came-back"  # a phone sent the call back to an extension it has rung already
    SENT_ON = "sent-on"  # a phone sent the call to an outside number (302)
    UNKNOWN = "unknown"  # what was dialled is neither an extension nor a DID


class TraceEntry(msgspec.Struct, frozen=True):
    """Why steps are there (`asked` of them, in the plan's order), or why a rule was not followed (`refusal`).

    `rule` is always, internal, external or default; `version` is the rule's. `to`, `rings` and `seconds` repeat
    what it asked for. Words are made from it by `comunik_pbx.forwarding.explain`.
    """

    extension: str
    rule: str
    why: Why | Refusal
    asked: int = 0
    version: int = 0
    to: str = ""
    rings: int = 0
    seconds: float = 0.0

    @property
    def followed(self) -> bool:
        """Whether the rule was followed."""
        return not isinstance(self.why, Refusal)


class Plan(msgspec.Struct, frozen=True):
    """What the PBX is to do with the call, in order, and the reasons."""

    origin: Origin
    called: str | None  # the extension reached first, None if there is none
    steps: tuple[Step, ...]
    trace: tuple[TraceEntry, ...]


class Usage(msgspec.Struct, frozen=True):
    """Forwarded calls to outside of one extension: now in progress, and begun today."""

    at_once: int = 0
    today: int = 0


UNALLOCATED_NUMBER = 1  # Q.850 causes
USER_BUSY = 17
NO_ANSWER = 19
SUBSCRIBER_ABSENT = 20

NO_RULES = ExtensionRules()
UNUSED = Usage()


def plan(
    call: Call,
    directory: Directory,
    rules: Rules,
    now: datetime,
    usage: Mapping[str, Usage] | None = None,
) -> Plan:
    """Decide where the call goes.

    `now` is an aware datetime, compared with the rules' `until`; `usage` is by extension, for its limits.
    Whatever the rules say, the plan ends, rings no extension twice nor the caller, and offers somebody, a
    mailbox or a clear end.
    """
    origin = call.caller.origin
    first = directory.called(call.called)
    if first is None and (by := directory.extensions.get(call.sent_by or "")) is not None:
        return _Decision(call, directory, now, usage or {}, by).sent_on(by)
    if first is None:
        unknown = TraceEntry(call.called, "default", Why.UNKNOWN, asked=1)
        return Plan(origin, None, (End(UNALLOCATED_NUMBER),), (unknown,))
    decision = _Decision(call, directory, now, usage or {}, first)
    current: Extension | None = first
    if first.number in decision.passed:
        decision.came_back(first)
        current = None
    while current is not None:
        current = decision.visit(current, rules.get(current.number, NO_RULES))
    return Plan(origin, first.number, tuple(decision.steps), tuple(decision.trace))


class _Decision:
    """A plan in the making: who has been visited, who diverted last, what has been decided so far."""

    __slots__ = (
        "call",
        "directory",
        "diversions",
        "first",
        "hops",
        "now",
        "passed",
        "seen",
        "steps",
        "trace",
        "usage",
        "visited",
    )

    def __init__(
        self, call: Call, directory: Directory, now: datetime, usage: Mapping[str, Usage], first: Extension
    ) -> None:
        self.call = call
        self.directory = directory
        self.now = now
        self.usage = usage
        self.first = first
        self.visited: list[str] = []
        self.passed = [found.number for number in call.passed if (found := directory.called(number))]
        self.seen = {*self.passed, *_our_own(call, directory)}  # not to be forwarded to, nor from, once more
        self.hops = len(call.diverted_by) + len(call.passed)
        self.diversions: list[tuple[Extension, Reason]] = []  # newest first
        self.steps: list[Step] = []
        self.trace: list[TraceEntry] = []

    def visit(self, extension: Extension, its: ExtensionRules) -> Extension | None:
        """Add what this extension's rules ask for; return the extension the call is forwarded to, if any."""
        self.visited.append(extension.number)
        for rule in (its.always, its.of_origin(self.call.caller.origin)):
            if rule is None:
                continue
            target = self.target(extension, rule)
            if isinstance(target, Refusal):
                self.trace.append(
                    TraceEntry(extension.number, rule.kind, target, version=rule.version, to=str(rule.to))
                )
                continue
            return self.follow(extension, rule, target)
        self.default(extension)
        return None

    def target(self, extension: Extension, rule: Rule) -> Extension | ToNumber | ToVoicemail | Refusal:
        """Where the rule leads on this call, or why it is not followed."""
        if not rule.enabled:
            return Refusal(RefusalCode.OFF)
        if rule.expired(self.now):
            return Refusal(RefusalCode.EXPIRED)
        found = destination(rule, extension, self.directory)
        if isinstance(found, Refusal | ToVoicemail):
            return found
        caller = self.call.caller
        if isinstance(found, Extension):
            if found.number == caller.extension:
                return Refusal(RefusalCode.CALLER, found.number)
            if found.number in self.visited or found.number in self.seen:
                return Refusal(RefusalCode.LOOP, found.number)
        elif found.number == caller.number:
            return Refusal(RefusalCode.CALLER, found.number)
        if extension.number in self.seen:
            return Refusal(RefusalCode.LOOP, extension.number)
        if self.hops + len(self.visited) > self.directory.max_hops:
            return Refusal(RefusalCode.MAX_HOPS, str(self.directory.max_hops))
        return (isinstance(found, ToNumber) and self.used_up(extension)) or found

    def used_up(self, extension: Extension) -> Refusal | None:
        """Why this extension may forward no more calls to outside now, None if it may."""
        if self.call.repeats >= self.directory.max_hops:
            return Refusal(RefusalCode.MAX_HOPS, str(self.directory.max_hops))
        return used_up(extension, self.usage)

    def sent_on(self, by: Extension) -> Plan:
        """A phone sends the call to an outside number: as a rule of its extension would, with the same limits.

        What follows if that fails is not decided here: the plan that rang the phone goes on.
        """
        origin, number = self.call.caller.origin, self.call.called
        found = outside(number, by, self.directory)
        refusal = found if isinstance(found, Refusal) else self.used_up(by)
        if isinstance(found, ToNumber) and found.number == self.call.caller.number:
            refusal = Refusal(RefusalCode.CALLER, found.number)
        elif by.number in _our_own(self.call, self.directory):
            refusal = Refusal(RefusalCode.LOOP, by.number)
        elif self.hops > self.directory.max_hops:
            refusal = Refusal(RefusalCode.MAX_HOPS, str(self.directory.max_hops))
        if refusal is not None or isinstance(found, Refusal):
            why = TraceEntry(by.number, "phone", refusal or Refusal(RefusalCode.NOT_A_NUMBER, number), to=number)
            return Plan(origin, None, (End(SUBSCRIBER_ABSENT),), (why,))
        self.diversions = [(by, Reason.UNCONDITIONAL)]
        self.forward(found.number)
        why = TraceEntry(by.number, "phone", Why.SENT_ON, len(self.steps), to=found.number)
        return Plan(origin, None, (*self.steps, End(NO_ANSWER)), (why,))

    def follow(self, extension: Extension, rule: Rule, target: Extension | ToNumber | ToVoicemail) -> Extension | None:
        """Ring as the rule says, then go where it leads."""
        before = len(self.steps)
        at_once = rule.kind is RuleKind.ALWAYS or rule.rings == 0
        if not at_once:
            on_busy = OnBusy.END if extension.busy is BusyPolicy.BUSY else OnBusy.NEXT
            self.ring(extension, rule.rings, on_busy)
        self.diversions.insert(0, (extension, Reason.UNCONDITIONAL if at_once else Reason.NO_ANSWER))
        if isinstance(target, ToNumber):
            self.forward(target.number)
        elif isinstance(target, ToVoicemail) and extension.mailbox:
            self.steps.append(Voicemail(extension.number, extension.mailbox))
        self.trace.append(
            TraceEntry(
                extension.number,
                rule.kind,
                Why.ALWAYS if rule.kind is RuleKind.ALWAYS else Why.AT_ONCE if at_once else Why.AFTER_RINGS,
                len(self.steps) - before,
                rule.version,
                target.number if isinstance(target, Extension) else str(target),
                rule.rings,
                rule.rings * self.directory.cycle_seconds,
            )
        )
        if isinstance(target, Extension):
            return target
        if isinstance(target, ToNumber):
            self.last_resort()
        return None

    def default(self, extension: Extension) -> None:
        """No rule: ring, then the first callee's voicemail, else the end."""
        rings = self.directory.default_rings
        asked = self.ring(extension, rings, OnBusy.NEXT)
        why = Why.DEFAULT if asked else Why.NO_ENDPOINT if not extension.endpoints else Why.OWN_CALL
        self.trace.append(
            TraceEntry(extension.number, "default", why, asked, 0, "", rings, rings * self.directory.cycle_seconds)
        )
        self.last_resort()

    def ring(self, extension: Extension, rings: int, on_busy: OnBusy) -> int:
        """Add a ring step unless nothing can ring or it is the caller's own extension; how many were added."""
        if not extension.endpoints or extension.number == self.call.caller.extension:
            return 0
        seconds = rings * self.directory.cycle_seconds
        diversion = None
        if self.diversions:
            by, reason = self.diversions[0]
            diversion = Diversion(by.number, by.number, reason, len(self.diversions) + self.hops)
        start = self.directory.start_seconds
        self.steps.append(Ring(extension.number, extension.endpoints, rings, seconds, on_busy, diversion, start))
        return 1

    def forward(self, number: str) -> None:
        """Add a step for each trunk: the first, and those to try when the one before it failed."""
        numbers = self.directory.numbers
        for index, trunk in enumerate(self.directory.trunks):
            newest, *earlier = (
                Diversion(by.number, self.public(by, trunk) or ANONYMOUS, reason, count)
                for count, (by, reason) in zip(
                    range(len(self.diversions) + self.hops, 0, -1), self.diversions, strict=False
                )
            )
            self.steps.append(
                Forward(
                    number,
                    trunk.name,
                    trunk.dial.replace("{number}", numbers.formatted(number, trunk.number_format)),
                    trunk.answer_seconds,
                    trunk.progress_seconds,
                    newest,
                    index > 0,
                    trunk.caller_id,
                    self.shown(trunk),
                    self.confirm(trunk),
                    tuple(earlier),
                    numbers.formatted(number, trunk.number_format) if trunk.history_info else None,
                )
            )

    def public(self, extension: Extension | None, trunk: Trunk) -> str | None:
        """What outsiders may see of an extension: its first DID, else the company's number, as the trunk wants it."""
        number = extension.did[0] if extension and extension.did else trunk.company_number
        return self.directory.numbers.formatted(number, trunk.number_format) if number else None

    def shown(self, trunk: Trunk) -> str | None:
        """The number a forwarded leg shows by this trunk's policy; never an extension's, never a withheld one."""
        numbers, caller, forwarder = self.directory.numbers, self.call.caller, self.diversions[0][0]
        match trunk.caller_id:
            case CallerIdPolicy.ORIGINAL if caller.extension is None:
                number = None if caller.withheld else numbers.e164(caller.number or "")
                return number and numbers.formatted(number, trunk.number_format)
            case CallerIdPolicy.ORIGINAL:
                own = self.public(self.directory.extensions.get(caller.extension or ""), trunk)
                return own or self.public(forwarder, trunk) or ANONYMOUS
            case CallerIdPolicy.COMPANY if trunk.company_number:
                return numbers.formatted(trunk.company_number, trunk.number_format)
        return self.public(forwarder, trunk) or ANONYMOUS

    def confirm(self, trunk: Trunk) -> Confirm | None:
        """The question whoever answers is asked, in the forwarder's language, if he or the trunk wants it."""
        caller, numbers, forwarder = self.call.caller, self.directory.numbers, self.diversions[0][0]
        if not (trunk.confirm if forwarder.confirm is None else forwarder.confirm):
            return None
        said = caller.extension
        if said is None and not caller.withheld and (number := numbers.e164(caller.number or "")):
            said = numbers.formatted(number, NumberFormat.NATIONAL)
        return Confirm(forwarder.language, said or None)

    def came_back(self, extension: Extension) -> None:
        """A phone's 302 led back to a phone that sent the call on: it does not ring again."""
        self.visited.append(extension.number)
        self.trace.append(TraceEntry(extension.number, "default", Why.CAME_BACK))
        self.first = self.directory.extensions[self.passed[0]]
        self.last_resort()

    def last_resort(self) -> None:
        """Nobody answered: the first callee's voicemail, else a clear end."""
        first = self.first
        if first.mailbox:
            self.steps.append(Voicemail(first.number, first.mailbox))
            self.trace.append(TraceEntry(first.number, "default", Why.FIRST_MAILBOX, 1, 0, first.mailbox))
            return
        rang = any(isinstance(step, Ring | Forward) for step in self.steps)
        own_call = first.number == self.call.caller.extension
        self.steps.append(End(NO_ANSWER if rang else USER_BUSY if own_call else SUBSCRIBER_ABSENT))
        self.trace.append(TraceEntry(first.number, "default", Why.NOBODY, 1))


def _our_own(call: Call, directory: Directory) -> Iterator[str]:
    """The extensions whose DIDs show that this call has been forwarded by us and came back.

    Besides Diversion: a call from outside that shows one of our numbers is one that the policy `forwarder` sent out.
    """
    caller = call.caller
    numbers = call.diverted_by if caller.extension or not caller.number else (*call.diverted_by, caller.number)
    for number in numbers:
        owner = directory.by_did.get(number) or directory.by_did.get(directory.numbers.e164(number) or "")
        if owner is not None:
            yield owner


def destination(rule: Rule, extension: Extension, directory: Directory) -> Extension | ToNumber | ToVoicemail | Refusal:
    """What the rule's destination is today, or why it is none, whoever calls.

    An outside number that is one of our DIDs is that extension; a number is checked against the policy.
    """
    match rule.to:
        case ToVoicemail():
            return rule.to if extension.mailbox else Refusal(RefusalCode.NO_MAILBOX, extension.number)
        case ToExtension(number=number):
            found = directory.extensions.get(number)
            if found is None:
                return Refusal(RefusalCode.UNKNOWN_EXTENSION, number)
        case ToNumber(number=number):
            found = directory.called(number)
            if found is None:
                return outside(number, extension, directory)
    return Refusal(RefusalCode.SELF, found.number) if found.number == extension.number else found


def unproven(rule: Rule, extension: Extension, directory: Directory) -> bool:
    """Whether nobody has proven the rule's outside number, so that calls do not go there (forwarding.prove_numbers)."""
    found = None if directory.proven is None else destination(rule, extension, directory)
    return isinstance(found, Refusal) and found.code is RefusalCode.UNPROVEN


def used_up(extension: Extension, usage: Mapping[str, Usage]) -> Refusal | None:
    """Which limit of calls to outside this extension has reached, if any."""
    used = usage.get(extension.number, UNUSED)
    if extension.max_outside_calls is not None and used.at_once >= extension.max_outside_calls:
        return Refusal(RefusalCode.AT_ONCE, extension.number)
    if extension.max_outside_calls_per_day is not None and used.today >= extension.max_outside_calls_per_day:
        return Refusal(RefusalCode.PER_DAY, extension.number)
    return None


def outside(number: str, extension: Extension, directory: Directory) -> ToNumber | Refusal:
    """The outside number in E.164, or why this extension's calls may not be forwarded to it."""
    if refusal := directory.numbers.refusal(number):
        return refusal
    if not extension.outside:
        return Refusal(RefusalCode.OUTSIDE, extension.number)
    if not directory.trunks:
        return Refusal(RefusalCode.NO_TRUNK, number)
    e164 = directory.numbers.e164(number) or number
    if directory.proven is not None and e164 not in directory.proven.get(extension.number, ()):
        return Refusal(RefusalCode.UNPROVEN, e164)
    return ToNumber(e164)
