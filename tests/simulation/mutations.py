"""Faults put into the product on purpose: does the simulation notice? `python -m tests.simulation.mutations`."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from comunik_pbx import in_force, missed_ends, service
from comunik_pbx.asterisk import ami, ari, ari_resources, reconnect
from comunik_pbx.asterisk.ari_events import Channel
from comunik_pbx.asterisk.errors import ChannelGone
from comunik_pbx.calls import (
    call_end,
    call_ends,
    deciding,
    exact_rings,
    handover,
    interception,
    kept_ends,
    publishing,
    queues,
    record_writer,
    records,
    ring_watch,
    usage,
)
from comunik_pbx.calls import caller as calls_caller
from comunik_pbx.forwarding.directory import Directory
from tests.simulation import dialplan, store
from tests.simulation.run import run

Mutation = Callable[[], AbstractContextManager[Any]]


def anothers_plan() -> AbstractContextManager[Any]:
    """Every channel is sent to the plan that was handed over first."""
    once, first = handover._place, list[tuple[int, str]]()

    def place(held: tuple[int, str], decided: deciding.Decided) -> str:
        first.append(held)
        return once(first[0], decided)

    return patch.object(handover, "_place", place)


def plans_remembered_for_ever() -> AbstractContextManager[Any]:
    """Another Asterisk is taken for the one that has the plans."""
    return patch.object(handover.Handover, "forget", lambda self: None)


def plan_set_after_it_is_looked_for() -> AbstractContextManager[Any]:
    """`continue` before the plan is there, and the dialplan does not look whose it is."""
    once = ari_resources.Channels.continue_with

    async def late(self: Any, channel_id: str, variable: str, value: str, **where: Any) -> None:
        await self.continue_(channel_id, **where)
        with contextlib.suppress(ChannelGone):
            await once(self, channel_id, variable, value, **where)

    return _both(
        patch.object(dialplan.Dialplan, "checks_whose", False),
        patch.object(ari_resources.Channels, "continue_with", late),
    )


def answered_twice() -> AbstractContextManager[Any]:
    """Each call is continued twice."""
    once = ari_resources.Channels.continue_with

    async def twice(self: Any, *args: Any, **where: Any) -> None:
        await once(self, *args, **where)
        await once(self, *args, **where)

    return patch.object(ari_resources.Channels, "continue_with", twice)


def plan_not_handed_over() -> AbstractContextManager[Any]:
    """`continue` without the plan."""

    async def without(self: Any, channel_id: str, variable: str, value: str, **where: Any) -> None:
        await self.continue_(channel_id, **where)

    return patch.object(ari_resources.Channels, "continue_with", without)


def record_lost() -> AbstractContextManager[Any]:
    """A batch that could not be written is forgotten."""

    async def flush(self: Any, quiet: bool) -> int:
        taken, self._waiting = self._waiting, {}
        self._any.clear()
        try:
            await self._write(list(taken.values()))
        except Exception:
            return 0
        return len(taken)

    return patch.object(record_writer.RecordWriter, "_flush", flush)


def record_while_written_lost() -> AbstractContextManager[Any]:
    """A record that came while an older one of the same call was being written is taken for written."""
    once = record_writer.RecordWriter._flush

    async def flush(self: Any, quiet: bool) -> int:
        before = list(self._waiting)
        done = await once(self, quiet)
        for channel in before if done else ():
            self._waiting.pop(channel, None)
        return int(done)

    return patch.object(record_writer.RecordWriter, "_flush", flush)


def origin_by_caller_id() -> AbstractContextManager[Any]:
    """Who calls is believed by the number."""
    once = calls_caller.caller

    def believed(directory: Directory, endpoint: str, number: str, presentation: str) -> Any:
        return once(directory, number if number in directory.extensions else endpoint, number, presentation)

    return patch.object(deciding, "caller", believed)


def rules_not_followed() -> AbstractContextManager[Any]:
    """Changes of rules are not noticed."""

    async def never(self: Any) -> None:
        await asyncio.Event().wait()

    return patch.object(in_force.InForce, "follow", never)


def usage_not_given_back() -> AbstractContextManager[Any]:
    """A forward to outside counts as in progress for ever."""
    once = usage.ForwardUsage.end
    return patch.object(usage.ForwardUsage, "end", lambda self, extensions, done, now: once(self, (), done, now))


def no_reconciliation() -> AbstractContextManager[Any]:
    """What happened while we were away is not asked for."""
    return patch.object(interception.Interception, "reconcile", lambda self: None)


def missing_calls_stay_open() -> AbstractContextManager[Any]:
    """Records of calls whose end was missed are not closed."""
    return patch.object(records.Records, "close_missing", lambda self, alive, before: 0)


def living_calls_closed() -> AbstractContextManager[Any]:
    """After a reconnection all records are closed, those of living calls too."""
    once = records.Records.close_missing
    return patch.object(records.Records, "close_missing", lambda self, alive, before: once(self, (), before))


def end_before_beginning() -> AbstractContextManager[Any]:
    """A decision that is recorded after the call's end opens the record again."""
    once = records.Records.decided

    def decided(self: Any, channel: str, *args: Any) -> None:
        self._ended.pop(channel, None)
        once(self, channel, *args)

    return patch.object(records.Records, "decided", decided)


def wrong_status() -> AbstractContextManager[Any]:
    """Voicemail is recorded as answered."""
    once = call_end.call_end

    def wrong(headers: Mapping[str, str]) -> call_end.CallEnd:
        end = once(headers)
        return msgspec.structs.replace(end, status=end.status.replace("voicemail", "answered"))

    return patch.object(call_ends, "call_end", wrong)


def worker_forgotten() -> AbstractContextManager[Any]:
    """A call's queue is not taken away."""

    async def work(self: Any, call: str) -> None:
        while self._waiting[call]:
            await self._handle(self._waiting[call].popleft())

    return patch.object(queues.CallQueues, "_work", work)


def no_reconnection() -> AbstractContextManager[Any]:
    """A lost connection is made again after an hour only."""
    return patch.object(reconnect.Backoff, "lost", lambda self, uptime=0.0: 3600.0)


def ami_never_left() -> AbstractContextManager[Any]:
    """A connection to AMI stands for ever, and Asterisk writes events for it."""
    return patch.object(ami.AmiClient, "_leave", lambda self: None)


def earlier_pass_left_open() -> AbstractContextManager[Any]:
    """A transferred caller's first record stays open if its end was missed."""
    return patch.object(records, "_passes", lambda _: 1000)


def later_pass_closed() -> AbstractContextManager[Any]:
    """The end of a transferred caller's first call closes the record of his second."""
    return patch.object(records, "_passes", lambda _: 0)


def channels_not_listed_again() -> AbstractContextManager[Any]:
    """If Asterisk's channels cannot be listed after a reconnection, that is that."""
    return patch.object(interception, "RECONCILE_AGAIN_SECONDS", 1e9)


def closed_records_opened_again() -> AbstractContextManager[Any]:
    """The store takes an open record for a closed one, from a service that hung and was replaced."""
    return patch.object(store.Disk, "keeps_closed", False)


def replaced_service_comes_back() -> AbstractContextManager[Any]:
    """A service that was replaced connects again."""
    return patch.object(ari, "ApplicationReplacedEvent", type("Never", (), {}))


def plans_not_published() -> AbstractContextManager[Any]:
    """A change of rules is not published."""
    return patch.object(publishing.Publisher, "changed", lambda self: None)


def astdb_believed() -> AbstractContextManager[Any]:
    """AstDB is believed to be as we left it."""
    return _both(
        patch.object(publishing.Publisher, "reconcile", lambda self: self.changed()),
        patch.object(publishing, "_MARK_FAMILY", "comunik-plan/elsewhere"),
    )


def guard_not_looked_at() -> AbstractContextManager[Any]:
    """A decision is sent however late it is."""
    return patch.object(interception, "GUARD_SECONDS", 1e9)


def everything_at_once() -> AbstractContextManager[Any]:
    """Every plan is handed over as one that begins with the ringing of one phone."""
    once = handover._place

    def place(held: tuple[int, str], decided: deciding.Decided) -> str:
        return once(held, msgspec.structs.replace(decided, at_once=decided.at_once or "30"))

    return patch.object(handover, "_place", place)


def ends_on_the_socket_ignored() -> AbstractContextManager[Any]:
    """What the dialplan tells of calls that end is not taken: AstDB is left to tell it."""
    return patch.object(service.Service, "_ended", lambda self, report: None)


def ends_on_the_socket_decided() -> AbstractContextManager[Any]:
    """A channel that tells its end is taken for one that waits."""
    once = interception.Interception.run

    async def run(self: Any, *args: Any) -> None:
        self._on_end = lambda report: self._enter(Channel(report[6:].split(",")[0]), ["ended", report])
        await once(self, *args)

    return patch.object(interception.Interception, "run", run)


def kept_ends_never_collected() -> AbstractContextManager[Any]:
    """Ends that nobody heard stay in AstDB."""

    def collect(self: Any) -> None:
        self._collected.set()
        self._collect_at = asyncio.get_running_loop().time() + kept_ends.COLLECT_SECONDS

    return patch.object(kept_ends.KeptEnds, "collect", collect)


def kept_ends_collected_when_idle() -> AbstractContextManager[Any]:
    """The time until they are collected begins anew with every record stored."""
    once = kept_ends.KeptEnds.stored

    def stored(self: Any, records: Any) -> None:
        once(self, records)
        self._collect_at = asyncio.get_running_loop().time() + kept_ends.COLLECT_SECONDS

    return patch.object(kept_ends.KeptEnds, "stored", stored)


def kept_ends_deleted_before_stored() -> AbstractContextManager[Any]:
    """Ends are deleted from AstDB when they have been collected, not when they are in the store."""
    once = kept_ends.KeptEnds.__init__

    def init(self: Any, database: Any, ended: Any, **options: Any) -> None:
        once(self, database, lambda headers: ended(headers) and False, **options)  # as if it could not be read

    return patch.object(kept_ends.KeptEnds, "__init__", init)


def kept_ends_never_deleted() -> AbstractContextManager[Any]:
    """AstDB keeps them for ever."""
    return patch.object(kept_ends.KeptEnds, "stored", lambda self, records: None)


def calls_gone_not_looked_for() -> AbstractContextManager[Any]:
    """Records of calls whose ends AstDB has lost are not closed."""

    async def never(self: Any) -> None:
        pass

    return patch.object(missed_ends.MissedEnds, "close", never)


def rings_never_ended() -> AbstractContextManager[Any]:
    """The service leaves the ringing to Dial()."""

    async def nothing(*_: Any) -> None:
        pass

    return patch.object(exact_rings.ExactRings, "_end", nothing)


def rings_ended_early() -> AbstractContextManager[Any]:
    """The ringing is ended before its time."""
    return patch.object(ring_watch, "EARLY_SECONDS", 4.0)


def one_look() -> AbstractContextManager[Any]:
    """The caller's channel is looked at once."""
    return patch.object(ring_watch.RingWatch, "looked", lambda self, look: None)


def first_step_alone() -> AbstractContextManager[Any]:
    """Of the ring steps of a plan the first is counted."""
    once = exact_rings.ExactRings._end

    async def end(self: Any, *args: Any) -> None:
        await once(self, *args)
        raise ChannelGone("no further look")

    return patch.object(exact_rings.ExactRings, "_end", end)


def announced_step_forgotten() -> AbstractContextManager[Any]:
    """A ring step that does not dial yet is taken for one that is over."""
    once = ring_watch.RingWatch.looked

    def looked(self: Any, look: ring_watch.Look) -> Any:
        return once(self, look if look.dialling else msgspec.structs.replace(look, step=look.step + 1))

    return patch.object(ring_watch.RingWatch, "looked", looked)


def first_calls_outcome_believed() -> AbstractContextManager[Any]:
    """A transferred caller's DIALSTATUS is not forgotten: he seems to be answered."""
    return patch.object(dialplan.Dialplan, "forgets", False)


def undecided_not_told() -> AbstractContextManager[Any]:
    """The end of a call whose caller hung up while it was being decided is kept in AstDB alone."""
    return patch.object(dialplan.Dialplan, "tells_undecided", False)


def plan_not_compared() -> AbstractContextManager[Any]:
    """Whatever plan is carried out, published ones too, is taken for ours."""
    return _caller_says(0, "live")


def pass_not_compared() -> AbstractContextManager[Any]:
    """A caller who was transferred is taken for one in his first call."""
    return _caller_says(1, None)


def _caller_says(place: int, value: str | None) -> AbstractContextManager[Any]:
    """What a caller's channel says, with one value changed: None, whatever is looked for."""
    once = exact_rings.ExactRings._caller

    async def caller(self: Any, one: Any) -> Any:
        async def evaluated(channel: str, function: str) -> str:
            said = (await self._ari.channels.evaluated(channel, function)).split("|")
            said[place] = str(one.passes) if value is None else value
            return "|".join(said)

        channels = type("Channels", (), {"evaluated": staticmethod(evaluated)})
        there = type("There", (), {"_ari": type("Ari", (), {"channels": channels})})
        return await once(there, one)  # type: ignore[arg-type]

    return patch.object(exact_rings.ExactRings, "_caller", caller)


def linkedid_not_compared() -> AbstractContextManager[Any]:
    """Every leg to the phones of the step is taken for one of this call."""

    async def legs(self: Any, ring: Any, linked: str) -> dict[str, str]:
        found = [await self._ari.endpoints.channels(endpoint) for endpoint in ring.endpoints]
        return {leg: (await self._leg(leg))[1] for channels in found for leg in channels}

    return patch.object(exact_rings.ExactRings, "_legs", legs)


def queue_members_not_told_apart() -> AbstractContextManager[Any]:
    """Of the calls that a queue makes to its members, all with its caller's linkedid, one ends the legs of another."""
    return _both(
        patch.object(exact_rings, "CALLER", exact_rings.CALLER.replace("&${CK_CALLED}", "")),
        patch.object(exact_rings, "LEG", exact_rings.LEG.replace("&${CK_CALLED}", "")),
    )


def legs_ended_unseen() -> AbstractContextManager[Any]:
    """The ringing is ended without a look whether somebody has answered."""
    once = exact_rings.ExactRings._legs

    async def legs(self: Any, ring: Any, linked: str) -> dict[str, str]:
        return dict.fromkeys(await once(self, ring, linked), "Ringing")

    return patch.object(exact_rings.ExactRings, "_legs", legs)


def early_media_not_looked_at() -> AbstractContextManager[Any]:
    """A 180 with SDP is taken for a 183."""
    return patch.object(ring_watch.RingWatch, "leg_rings", lambda self, look: None)


def old_looks_believed() -> AbstractContextManager[Any]:
    """However long the look took."""
    return patch.object(exact_rings, "STALE_SECONDS", float("inf"))


@contextmanager
def _both(*patches: Any) -> Iterator[None]:
    with patches[0], patches[1]:
        yield


MUTATIONS: dict[str, Mutation] = {
    function.__name__: function
    for function in (
        anothers_plan,
        plans_remembered_for_ever,
        plan_set_after_it_is_looked_for,
        answered_twice,
        plan_not_handed_over,
        record_lost,
        record_while_written_lost,
        origin_by_caller_id,
        rules_not_followed,
        usage_not_given_back,
        no_reconciliation,
        missing_calls_stay_open,
        living_calls_closed,
        end_before_beginning,
        wrong_status,
        worker_forgotten,
        no_reconnection,
        ami_never_left,
        earlier_pass_left_open,
        later_pass_closed,
        channels_not_listed_again,
        closed_records_opened_again,
        replaced_service_comes_back,
        plans_not_published,
        astdb_believed,
        guard_not_looked_at,
        everything_at_once,
        ends_on_the_socket_ignored,
        ends_on_the_socket_decided,
        kept_ends_never_collected,
        kept_ends_collected_when_idle,
        kept_ends_deleted_before_stored,
        kept_ends_never_deleted,
        calls_gone_not_looked_for,
        rings_never_ended,
        rings_ended_early,
        one_look,
        first_step_alone,
        announced_step_forgotten,
        first_calls_outcome_believed,
        undecided_not_told,
        plan_not_compared,
        pass_not_compared,
        linkedid_not_compared,
        queue_members_not_told_apart,
        legs_ended_unseen,
        early_media_not_looked_at,
        old_looks_believed,
    )
}


NOT_NOTICED = {
    "no_reconciliation": "the guard takes those who wait, and a look every minute closes the records of who is gone",
    "channels_not_listed_again": "the same",
    "end_before_beginning": "both are told on one socket, in their order",
    "earlier_pass_left_open": "AstDB keeps every end of a call until it is stored, so nothing is lost",
    "guard_not_looked_at": "Asterisk refuses what comes too late (409), and the end of the call corrects its record",
}
"""Faults without consequences, and why."""


RARE = {
    "record_while_written_lost",
    "later_pass_closed",
    "plans_not_published",
    "closed_records_opened_again",
    "astdb_believed",
    "old_looks_believed",
    "calls_gone_not_looked_for",
    "early_media_not_looked_at",
    "kept_ends_collected_when_idle",
    "first_calls_outcome_believed",
    "pass_not_compared",
    "plan_not_compared",
    "queue_members_not_told_apart",
}
"""Those that take hundreds of seeds."""


def noticed(mutation: Mutation, seeds: range, hours: float = 1.0) -> tuple[int, str] | None:
    """The first seed that notices, and by what; None if none does."""
    with mutation():
        for seed in seeds:
            if violation := run(seed, hours).violation:
                return seed, violation
    return None


def main() -> int:
    """Look for all of them, or those named."""
    missed = 0
    for name, mutation in MUTATIONS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        found = noticed(mutation, range(1, 301))
        missed += found is None
        said = "NOT NOTICED in 300 seeds" if found is None else f"seed {found[0]}: {found[1][:150]}"
        print(f"{name}: {said}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
