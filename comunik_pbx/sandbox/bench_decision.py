"""The benchmark of the decision alone: how long `plan` and `encode` take, without Asterisk."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.plan import plan
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind, Rules, ToExtension, ToNumber

OUTSIDE = Call(caller=Caller(number="+33140000000"), called="+33170000101")
MOBILE = ToNumber("+33612345678")


@dataclass(frozen=True)
class DecisionTime:
    """Median µs of deciding and of encoding the plan, of `steps` steps."""

    name: str
    steps: int
    plan_us: float
    encode_us: float


def decision_times(directory: Directory, *, seconds: float = 0.5) -> list[DecisionTime]:
    """Measure a typical call, and a chain of five forwards, for about `seconds` each figure."""
    typical = {"101": _external("101", MOBILE)}
    hops = [str(number) for number in range(101, 107)]
    chain = {one: _external(one, ToExtension(other)) for one, other in itertools.pairwise(hops)}
    return [
        _measured("typical: 3 rings, then a mobile", directory, typical, seconds),
        _measured("chain of 5 extensions", directory, chain, seconds),
    ]


def _external(extension: str, to: ToNumber | ToExtension) -> ExtensionRules:
    return ExtensionRules(external=Rule(extension=extension, kind=RuleKind.EXTERNAL, to=to, rings=3, version=1))


def _measured(name: str, directory: Directory, rules: Rules, seconds: float) -> DecisionTime:
    now = datetime.now(UTC)
    steps = plan(OUTSIDE, directory, rules, now).steps
    return DecisionTime(
        name,
        len(steps),
        _median_us(lambda: plan(OUTSIDE, directory, rules, now), seconds),
        _median_us(lambda: encode(steps), seconds),
    )


def _median_us(work: Callable[[], object], seconds: float, runs: int = 25) -> float:
    """The median of runs, each long enough for the clock."""
    count = 0
    ends = time.perf_counter() + seconds / runs
    while time.perf_counter() < ends:
        work()
        count += 1
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        for _ in range(count):
            work()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times) * 1e6
