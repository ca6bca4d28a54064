"""What dialplan/*.conf does, as docs/dialplan.md tells it: entry, Stasis with its guard, fallback, steps, record.

Written from the documentation and from the files, and without the service's own code: what the service sends is
read here as Asterisk would read it.
"""

from typing import TYPE_CHECKING

from tests.simulation.channel import Channel, HungUp, Leg, OutOfTime, Progress
from tests.simulation.legs import Outcome, dial, far_ends

if TYPE_CHECKING:
    from tests.simulation.asterisk import Asterisk

APP = "comunik-pbx"
GUARD_SECONDS = 1.5
FAMILY = "/comunik-plan"
ANNOUNCES_SECONDS = 2.5
"""comunik-settings-announce: before the first diverted leg of a call, where the admin wants it."""

KEPT = "comunik-ended"
# Q.850 causes of a trunk that Asterisk has a SIP answer for (dialplan/execute.conf).
_TELLABLE = {1, 2, 3, 17, 18, 19, 20, 21, 22, 27, 28, 34, 38, 42, 58}


class Dialplan:
    """The dialplan of one Asterisk.

    `checks_whose`: whether a plan that was not meant for this call is refused. `forgets`: whether DIALSTATUS of a
    transferred caller's first call is forgotten. `tells_undecided`: whether the service is told the end of a call that
    nobody had decided.
    """

    checks_whose = forgets = tells_undecided = True

    def __init__(self, asterisk: "Asterisk") -> None:
        self._asterisk = asterisk
        self._world = asterisk.world

    async def run(self, channel: Channel) -> None:
        """A channel's whole life."""
        called: str | None = channel.called
        try:
            while called is not None:
                called = await self._pass(channel, called)
        except HungUp:
            pass
        channel.hung_up = True
        self._record(channel)
        self._asterisk.process.later(self._asterisk.takes(), self._asterisk.channels.pop, channel.id)

    async def _pass(self, channel: Channel, called: str) -> str | None:
        """comunik-incoming; gives the number the caller was transferred to, if he was."""
        if channel.passes:
            self._record(channel)
        channel.called, channel.progress = called, Progress()
        if self.forgets:
            channel.variables["DIALSTATUS"] = ""
        channel.passes += 1
        channel.limit(GUARD_SECONDS)
        self._world.truth.came(channel)
        plan = ""
        try:
            where = await self._stasis(channel)
            if where is not None and where[0] == "comunik-execute":
                await channel.pause()
                plan = self._handed_over(channel, where[1])
                if not plan:  # the service is asked once more
                    channel.limit(GUARD_SECONDS)
                    where = await self._stasis(channel)
                    if where is not None and where[0] == "comunik-execute":
                        await channel.pause()
                        plan = self._handed_over(channel, where[1])
        except OutOfTime:
            pass  # extension T
        channel.limit(0)
        progress = channel.progress
        progress.plan, progress.decided = plan, "live"
        if not plan:
            self._fallback(channel)
        self._world.truth.decided(channel, progress.decided, progress.plan)
        return await self._steps(channel)

    def _handed_over(self, channel: Channel, place: str) -> str:
        """The plan at an extension of comunik-execute, if it is this pass's."""
        channel.limit(0)
        digits, at_once = place.removeprefix("*"), place.startswith("*")
        passes, _, time = ("1", *digits[15:].partition("t")[1:]) if at_once else (digits[15:], "", "")
        tag, _, plan = self._asterisk.variables.get(f"CK_HANDOVER_{digits[:3]}", "").partition("!")
        its = tag == digits[3:15] and passes == str(channel.passes) and plan.startswith("1|") and bool(time) is at_once
        if not its and not (plan and not self.checks_whose):
            return ""
        if at_once:
            self._begins_with_one_phone(channel, plan.split("|")[1].split("~"), time)
            channel.progress.at_once = True
        return plan

    def _begins_with_one_phone(self, channel: Channel, fields: list[str], time: str) -> None:
        """What comunik-execute,*N takes for granted: it would begin anything else as if it were that."""
        if fields[0] != "ring" or "&" in fields[2] or fields[6] or channel.passes > 1:
            self._world.wrong(f"call {channel.id} is to begin at once with {'~'.join(fields)}")
        elif len(fields) > 11 and time != f"{float(fields[4]) - 0.1 + float(fields[11]):.10g}:^{fields[10]}":
            self._world.wrong(f"call {channel.id} is to ring for {time} and not as its plan says: {'~'.join(fields)}")

    async def _stasis(self, channel: Channel) -> tuple[str, str] | None:
        """Stasis(): where the application continues the channel; None if it is not there or says nothing."""
        await channel.pause()
        if APP not in self._asterisk.sockets:
            return None
        incoming = channel.incoming
        args = ["incoming", channel.called, incoming.endpoint, incoming.presentation, str(channel.passes)]
        args += [incoming.diverted if channel.passes == 1 else "", f"&{channel.called}"]
        channel.app_data = ",".join([APP, *args])
        channel.in_stasis = True
        channel.inbox.clear()
        self._world.truth.waits(channel)
        self._asterisk.event(APP, "StasisStart", channel, args=args)
        try:
            told = None
            while told is None or told[0] != "continue":  # else news of a Dial() before
                told = await channel.told()
            context, extension = told[1]
            return (context, extension) if context else None
        finally:
            channel.in_stasis, channel.app_data = False, ""
            self._asterisk.event(APP, "StasisEnd", channel)

    # comunik-fallback

    def _fallback(self, channel: Channel) -> None:
        progress, database, endpoint = channel.progress, self._world.database, channel.incoming.endpoint
        caller = progress.caller = database.get(f"{FAMILY}/endpoint/{endpoint}", "") if endpoint else ""
        digits = channel.called.removeprefix("+")
        owner = database.get(f"{FAMILY}/did/{digits}", "") or channel.called
        key = f"{FAMILY}/{'internal' if caller else 'external'}/{owner}"
        if caller and database.get(f"{FAMILY}/{caller}/{owner}"):
            key = f"{FAMILY}/{caller}/{owner}"
        progress.decided, progress.plan = "published", self.published(key)
        if not progress.plan:
            progress.decided, progress.plan = "default", self._world.default_plan(channel.called)

    def published(self, key: str) -> str:
        """The plan at this key, following its ends; empty if there is none."""
        until, again = "", False
        while True:
            piece = key + (f"/{until}" if until else "")
            value = self._world.database.get(piece, "")
            while value.endswith(">"):
                piece += "/more"
                value = value[:-1] + self._world.database.get(piece, "")
            if value.startswith("1|"):
                return value
            moment, _, rest = value.partition(">")
            if not (moment.isdigit() and rest.startswith("1|")):
                if value or not until or again:
                    return ""
                until, again = "", True
                continue
            if self._world.loop.wall() < int(moment):
                return rest
            until = moment
        return ""

    # comunik-steps

    async def _steps(self, channel: Channel) -> str | None:
        progress = channel.progress
        while True:
            await channel.pause()
            progress.index += 1
            steps = progress.plan.split("|")
            fields = steps[progress.index].split("~") if progress.index < len(steps) else [""]
            self._world.truth.step(channel, progress.index, fields)
            match fields:
                case ["ring", extension, *_] if extension == progress.caller:
                    progress.steps.append(f"{progress.index}~SKIPPED~0~0~~0")
                    progress.cause = 17
                case ["ring", extension, phones, _, seconds, on_busy, by, _, _, _, *start]:
                    times = _ring_seconds(float(seconds), start)
                    outcome = Outcome("CHANUNAVAIL", 20)
                    if legs := far_ends(channel, phones.split("&"), times[0], float(seconds)):
                        await self._announces(channel, by)
                        await self._begins(channel)
                        outcome = await dial(channel, legs, *times, extension, float(seconds))
                    if outcome.status == "NOANSWER":
                        self._world.truth.rang_out(channel, float(seconds), watched=len(start) > 1)
                    if outcome.transferred or outcome.status == "ANSWER":
                        return outcome.transferred
                    await channel.pause()
                    if self._rang(progress, extension, outcome) and on_busy == "end":
                        self._end(progress, 17)
                        return None
                case ["forward", number, seconds, progress_seconds, fallback, by, *_]:
                    if fallback == "1" and not progress.trunk_failed:
                        progress.steps.append(f"{progress.index}~SKIPPED~0~0~~0")
                        continue
                    await self._announces(channel, by)
                    await self._begins(channel)
                    legs = far_ends(channel, [number], float(seconds))
                    outcome = await dial(channel, legs, float(seconds), float(progress_seconds))
                    if outcome.transferred or outcome.status == "ANSWER":
                        return outcome.transferred
                    await channel.pause()
                    self._forwarded(progress, outcome)
                case ["voicemail", box, *_]:
                    if box not in self._world.mailboxes:
                        progress.steps.append(f"{progress.index}~SKIPPED~0~0~~0")
                        continue
                    progress.leg = Leg(self._world.loop.time())
                    progress.active = "voicemail"
                    channel.asterisk.reached(channel, "voicemail", box)
                    await channel.told(self._world.people.message_seconds())
                    return None
                case ["end", cause]:
                    self._end(progress, int(cause))
                    return None
                case [""]:
                    self._end(progress, 19)
                    return None

    async def _announces(self, channel: Channel, by: str) -> None:
        """Before the first leg that somebody diverted."""
        if by and self._world.announces and not channel.progress.announced:
            channel.progress.announced = True
            await channel.told(ANNOUNCES_SECONDS)

    async def _begins(self, channel: Channel) -> None:
        """Dial() comes next."""
        channel.progress.leg, channel.progress.active = Leg(self._world.loop.time()), "dial"
        await channel.pause()

    def _log(self, progress: Progress, outcome: Outcome, cause: int) -> None:
        progress.active = ""
        progress.steps.append(f"{progress.index}~{outcome.status}~{cause}~{outcome.ring_ms}~~0")

    def _rang(self, progress: Progress, extension: str, outcome: Outcome) -> bool:
        """After a ring step that nobody answered; whether it was busy."""
        self._log(progress, outcome, outcome.cause)
        busy = outcome.status != "NOANSWER" and outcome.cause in (17, 21)
        if outcome.status == "NOANSWER":
            progress.rung_as, progress.cause = (extension, "no-answer"), 19
        elif busy:
            progress.rung_as, progress.cause = (extension, "user-busy"), 17
            progress.busy.add(progress.index)
        else:
            progress.rung_as, progress.cause = (extension, "unavailable"), 58 if outcome.cause == 58 else 20
        return busy

    def _forwarded(self, progress: Progress, outcome: Outcome) -> None:
        self._log(progress, outcome, outcome.cause)
        own = outcome.cause in (1, 17, 19, 22, 28) or (outcome.cause == 18 and outcome.ring_ms > 0) or outcome.declined
        progress.trunk_failed = not (outcome.status in ("NOANSWER", "BUSY") or own)
        progress.cause = outcome.cause if outcome.cause in _TELLABLE else None

    def _end(self, progress: Progress, given: int) -> None:
        progress.cause = given if progress.cause is None else progress.cause
        progress.steps.append(f"{progress.index}~END~{progress.cause}~0~~0")
        progress.status = "ended"

    # comunik-record

    def _record(self, channel: Channel) -> None:
        progress, leg, now = channel.progress, channel.progress.leg, self._world.loop.time()
        doing = [progress.index_said, progress.active]
        status = progress.status or "abandoned"
        if progress.active:
            doing.append(channel.milliseconds(leg.began))
        if progress.active == "voicemail":
            status = "voicemail"
        elif progress.active == "dial":
            status = "abandoned" if leg.answered is None else "answered"
            doing += ["CANCEL" if leg.answered is None else "ANSWER"]
            doing += ["" if leg.rang is None else str(int(1000 * (leg.rang - leg.began)))]
            doing += ["" if leg.answered is None else str(int(1000 * (now - leg.answered))), leg.peer, ""]
        self._world.truth.ended(channel, status, progress.cause or 16 if status == "ended" else 16)
        incoming = channel.incoming
        headers = {
            "Call": channel.id,
            "Pass": str(channel.passes),
            "Called": channel.called,
            "Endpoint": incoming.endpoint,
            "CallerNum": incoming.number,
            "CallerPres": incoming.presentation,
            "Decided": progress.decided,
            "Plan": progress.plan,
            "Steps": "|".join(progress.steps),
            "Now": "~".join(doing),
            "Status": progress.status,
            "Cause": str(progress.cause or ""),
            "Ended": str(int(self._world.loop.wall() * 1000)),
        }
        report = ",".join(f"{name}: {value}" for name, value in headers.items())
        self._world.database[f"/{KEPT}/{channel.id[-5:]}/{channel.passes}"] = report
        told = progress.decided == "live" or (self.tells_undecided and not progress.decided)
        told = told and not self._asterisk.variables.get("CK_ENDS")
        if told and channel.hung_up and APP in self._asterisk.sockets:
            self._tell(channel, report)

    def _tell(self, channel: Channel, report: str) -> None:
        """Stasis(comunik-pbx,ended,…), of a channel that has been hung up: it tells, and is over."""
        passes, told = channel.passes, self._world.truth.told
        channel.app_data = f"{APP},ended,{report}"
        self._asterisk.event(
            APP,
            "StasisStart",
            channel,
            lambda process: told(channel.id, passes, process),
            args=["ended", *report.split(",")],
        )
        self._asterisk.event(APP, "StasisEnd", channel)


def _ring_seconds(seconds: float, start: list[str]) -> tuple[float, float | None]:
    """Times of Dial(): `start` are the seconds without any sign of life, and those more if the service ends it."""
    late = float(start[1]) if len(start) > 1 else 0.0
    return seconds - 0.1 + late, float(start[0]) if start else None
