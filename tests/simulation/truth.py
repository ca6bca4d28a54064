"""What really happened, and what must be true of it: checked at every step and at the end of a run."""

from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING

from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.calls.kept_ends import DELETE_SECONDS
from comunik_pbx.calls.ring_watch import EARLY_SECONDS
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.plan import Usage, plan
from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.store import CallRow
from tests.simulation.channel import Channel
from tests.simulation.company import DIRECTORY, LIMITED
from tests.simulation.dialplan import FAMILY, GUARD_SECONDS
from tests.simulation.legs import Rung
from tests.simulation.loop import PROCESS, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

FOLLOWS_SECONDS = 0.06
"""A change of rules acts on calls that come so much later (50 ms, and the way to the service)."""

LAGS_SECONDS = 100.0
"""How old the rules of a live decision may be while something is wrong: the longest time the service is frozen."""

PUBLISHED_SECONDS = 1.0
"""A change of rules is in AstDB so much later, when all is well."""

LOOKED_SECONDS = 1.0
"""A leg that the service looked at so long ago may be answered by now."""

RINGS_SECONDS = 1.0
"""So much longer than asked the phones may ring: each of the messages on the way may take 0.2 s."""

EXACT_SECONDS = 0.05
"""… and so much if none of them takes long: within 150 ms (docs/telephony.md), of which 0.1 s are less."""

BEGINS_SECONDS = 0.05
"""Rings are counted from what Dial() noted, and its beginning from the priority before it."""

WRITTEN_SECONDS = 5.0
"""A process that lives so long after it was told a call's end has written the record."""

COLLECTED_SECONDS = DELETE_SECONDS + 10.0
"""So much later than the next collection an end that nobody heard is in the store, when all is well."""


class Pass:
    """One pass of one call: what happened to it."""

    def __init__(self, channel: Channel, came: float) -> None:
        self.channel = channel
        self.number = channel.passes
        self.called = channel.called
        self.came = came
        self.waited: float | None = None
        self.decided = ""
        self.decided_at = 0.0
        self.plan = ""
        self.steps: list[str] = []
        self.reached = ""
        self.status = ""
        self.cause = 0
        self.ended_at: float | None = None
        self.died = False
        self.told: list[tuple[Process, float]] = []
        self.continued: dict[str, int] = {}
        self.recorded_by: Process | None = None  # who wrote its record last

    @property
    def id(self) -> str:
        return self.channel.id if self.number == 1 else f"{self.channel.id}#{self.number}"

    @property
    def over(self) -> bool:
        return self.died or self.ended_at is not None


class Truth:
    """The ledger of one run. Each method is told by the simulated world; `world.wrong` is called on a violation."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._now = world.loop.time
        self.passes: dict[str, Pass] = {}
        self.rules: list[tuple[float, Rules]] = [(float("-inf"), {})]
        self.counts: dict[str, int] = {}

    def of(self, channel: Channel) -> Pass:
        return self.passes[channel.id if channel.passes == 1 else f"{channel.id}#{channel.passes}"]

    def _wrong(self, what: str, about: Pass) -> None:
        self._world.wrong(f"{what} (call {about.id} to {about.called})")

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    # Told by the dialplan

    def came(self, channel: Channel) -> None:
        one = Pass(channel, self._now())
        self.passes[one.id] = one
        self._world.note("call", one.id, channel.incoming.endpoint, channel.called)

    def waits(self, channel: Channel) -> None:
        self.of(channel).waited = self._now()

    def decided(self, channel: Channel, how: str, encoded: str) -> None:
        """Which plan is carried out, as `live`, `published` or `default`."""
        one = self.of(channel)
        if one.decided:
            self._wrong("decided twice", one)
        one.decided, one.plan, one.decided_at = how, encoded, self._now()
        self.count(how)
        self._world.note("decided", one.id, how, encoded)
        if one.waited is not None and self._now() - one.waited > GUARD_SECONDS + 1.0 and not self._shaken(one):
            self._wrong("waited in Stasis beyond the guard", one)
        if how == "live":
            if encoded not in self._plans(one, live=True):
                self._wrong(f"carries out {encoded}, which the rules do not ask for", one)
        elif self._world.health.was_calm(one.came - 1.0, self._now()):
            self._wrong(f"decided as {how}, although the service was up and well", one)
        elif (
            how == "published"
            and self._now() > self._world.health.published_from
            and encoded not in self._plans(one, live=False)
        ):
            self._wrong(f"carries out a published {encoded}, which the rules do not ask for", one)
        elif (
            how == "default"
            and self._published_since() > self._world.health.published_from
            and DIRECTORY.called(one.called) is not None
        ):
            self._wrong("no published plan was found", one)

    def _published_since(self) -> float:
        """A moment at which AstDB was in step with the rules; before the beginning if it never was."""
        return self._world.health.last_calm(self._now()) - PUBLISHED_SECONDS

    def _shaken(self, one: Pass) -> bool:
        return not self._world.health.was_calm(one.came, self._now())

    def _plans(self, one: Pass, live: bool) -> set[str]:
        """The plans that rules in force while this call was decided ask for."""
        incoming = one.channel.incoming
        extension = DIRECTORY.by_endpoint.get(incoming.endpoint)
        number = DIRECTORY.numbers.e164(incoming.number) or incoming.number or None
        withheld = incoming.presentation.startswith("prohib")
        diverted = tuple(incoming.diverted.split("&")[1:]) if one.number == 1 else ()
        caller = Caller(extension=extension, number=number, withheld=withheld)
        call = Call(caller=caller, called=one.called, diverted_by=diverted)
        calls = [call]
        if not live:  # compiled for anybody outside, or anybody inside
            calls += [Call(caller=Caller(extension=None if extension is None else ""), called=one.called)]
            since = self._published_since()
        elif self._world.health.was_calm(one.came - LAGS_SECONDS, self._now()):
            since = one.came - FOLLOWS_SECONDS
        else:
            since = one.came - LAGS_SECONDS
        plans = set()
        starts = [at for at, _ in self.rules]
        for index, (_, rules) in enumerate(self.rules):
            until = starts[index + 1] if index + 1 < len(starts) else float("inf")
            if until <= since:
                continue
            for asked, moment, used in product(calls, (one.came, self._now()), (0, 1)):
                at = datetime.fromtimestamp(self._world.wall(moment), UTC)
                steps = plan(asked, DIRECTORY, rules, at, {LIMITED: Usage(at_once=used)}).steps
                plans |= {encode(steps), encode(steps, watched=live, received=incoming.number)}
        return plans

    def step(self, channel: Channel, index: int, fields: list[str]) -> None:
        one = self.of(channel)
        what = "~".join(fields[:3])
        self._world.note("step", one.id, index, what)
        if one.reached or one.over:
            self._wrong(f"step {what} after the call was over", one)
        if what and what in one.steps and fields[0] != "end":
            self._wrong(f"step {what} carried out twice", one)
        if index != len(one.steps) + 1:
            self._wrong(f"step {index} after {len(one.steps)}", one)
        one.steps.append(what)

    def reached(self, channel: Channel, how: str, who: str) -> None:
        one = self.of(channel)
        if one.reached:
            self._wrong(f"reached {who} after {one.reached}", one)
        one.reached = f"{how} {who}"
        self._world.note("reached", one.id, how, who)

    def ended(self, channel: Channel, status: str, cause: int) -> None:
        one = self.of(channel)
        if one.ended_at is not None:
            self._wrong("ended twice", one)
        if (status in ("answered", "voicemail")) != bool(one.reached):
            self._wrong(f"ended as {status}, reached {one.reached or 'nobody'}", one)
        one.status, one.cause, one.ended_at = status, cause, self._now()
        self.count(status)
        self._world.note("ended", one.id, status, cause)
        heard = channel.hung_up and one.decided in ("", "live")
        seconds = WRITTEN_SECONDS if heard else self._world.collect_seconds + COLLECTED_SECONDS
        self._world.later(seconds, self._should_be_recorded, one, self._now())

    def rang_out(self, channel: Channel, asked: float, watched: bool) -> None:
        """Nobody answered a ring step of `asked` seconds. `watched`: the service was to end it."""
        one, leg, now = self.of(channel), channel.progress.leg, self._now()
        if leg.lives is None:
            return
        # The service may look as late as the rings end: a 180 with SDP counts only where no phone sent a plain one.
        began = min(leg.ringing.values(), default=leg.lives) if leg.rang is None else leg.rang
        rang = now - began
        self._world.note("rang", one.id, f"{rang:.3f} of {asked:g}")
        if watched and one.decided == "live" and self._world.health.was_calm(one.came - 1.0, now):
            self.count("rings ended by the service")
            if rang > asked + (EXACT_SECONDS if self._world.brisk else RINGS_SECONDS):
                self._wrong(f"rang {rang:.3f} s, not {asked:g}", one)

    def leg_ended_by_us(self, leg: Rung, client: str) -> None:
        """The service hangs up a leg by ARI."""
        one, now, progress = self.of(leg.caller), self._now(), leg.caller.progress
        looked = leg.looked.get(client)
        if looked is None:
            self._wrong(f"{client} ended a leg without looking at it", one)
        elif leg.state == "Up":
            self.count("answered as the ringing was ended")
            if now - looked > LOOKED_SECONDS:
                self._wrong(f"{client} ended a leg that was answered, looked at {now - looked:.3f} s before", one)
        elif progress.leg.lives is None or now - progress.leg.lives < leg.asked - EARLY_SECONDS - BEGINS_SECONDS:
            self._wrong(f"{client} ended the ringing too early", one)

    # Told by Asterisk and the network

    def continued(self, channel: Channel, process: Process) -> None:
        one = self.of(channel)
        one.continued[process.name] = one.continued.get(process.name, 0) + 1
        if one.continued[process.name] > 1 and not self._shaken(one):
            self._wrong(f"continued twice by {process.name}", one)

    def ended_by_us(self, channel: Channel, client: str) -> None:
        self._wrong(f"{client} hung up a caller", self.of(channel))

    def died(self, channel: Channel) -> None:
        """Asterisk died with this call."""
        one = self.of(channel) if channel.passes else None
        if one is not None and not one.over:
            one.died = True
            self.count("died with Asterisk")

    def told(self, channel_id: str, passes: int, process: Process) -> None:
        """A process has read this call's end off its event socket."""
        one = self.passes[channel_id if passes == 1 else f"{channel_id}#{passes}"]
        one.told.append((process, self._now()))
        self._world.note("told", one.id, process.name)
        self._world.later(WRITTEN_SECONDS, self._should_be_recorded, one, self._now())

    def _should_be_recorded(self, one: Pass, since: float) -> None:
        """There was time enough, if nothing was wrong."""
        row = self._world.disk.calls.get(one.id)
        health = self._world.health
        calm = health.was_calm(since - 1.0, self._now()) and (one.told or health.wiped_at < since)
        if calm and (row is None or row.status != one.status):
            late = self._now() - (one.ended_at or 0.0)
            self._wrong(f"it ended {late:.3f} s ago, its record says {row.status if row else 'nothing'}", one)

    def rules_changed(self, rules: Rules) -> None:
        self.rules.append((self._now(), rules))

    # Told by the store

    def written(self, row: CallRow) -> None:
        one = self.passes.get(row.id)
        self._world.note("written", row.id, row.status, row.decided)
        if one is not None:
            one.recorded_by = PROCESS.get()
        if one is None:
            self._world.wrong(f"a record of {row.id}, which nobody called")
            return
        if row.ended_at is None:
            if row.status is not None:
                self._wrong("an open record with a status", one)
            return
        if row.status == "unknown":
            if not one.over:
                self._wrong("closed as unknown, and goes on", one)
        elif (row.status, row.cause) != (one.status, one.cause):
            self._wrong(f"recorded as {row.status}/{row.cause}, was {one.status}/{one.cause}", one)
        elif one.decided and row.decided != one.decided:
            self._wrong(f"recorded as {row.decided}, was {one.decided}", one)

    # At the end

    def finish(self) -> None:
        """Every call is over, its record is right, and AstDB holds what the rules ask for."""
        self._check_published()
        for one in self.passes.values():
            if not one.over:
                self._wrong("never ended", one)
            row = self._world.disk.calls.get(one.id)
            told = any(self._world.wrote(process, at, WRITTEN_SECONDS) for process, at in one.told)
            kept = one.ended_at is not None and one.ended_at > self._world.health.wiped_at
            if (told or kept) and (row is None or row.status != one.status):
                self._wrong(f"it ended, its record says {row.status if row else 'nothing'}", one)
            elif row is not None and row.ended_at is None:
                # A service that has gone began it, and Asterisk died with it: the next service that starts closes it.
                if not one.died or one.recorded_by not in self._world.ended:
                    self._wrong("its record is still open", one)
                self.count("left open until the next start")

    def _check_published(self) -> None:
        rules, now = self.rules[-1][1], datetime.fromtimestamp(self._world.loop.wall(), UTC)
        for extension in DIRECTORY.extensions:
            for origin, caller in (("external", Caller()), ("internal", Caller(extension=""))):
                asked = encode(plan(Call(caller=caller, called=extension), DIRECTORY, rules, now).steps)
                stands = self._world.asterisk.dialplan.published(f"{FAMILY}/{origin}/{extension}")
                if stands != asked:
                    self._world.wrong(f"{origin} calls to {extension}: {stands} is published, not {asked}")
