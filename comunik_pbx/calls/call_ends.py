"""Following AMI: when phones ring, how calls end, and when Asterisk has (re)started."""

import contextlib
from collections.abc import Callable, Mapping

import structlog

from comunik_pbx.asterisk.ami import AmiClient, AmiConnected, AmiDisconnected, FullyBooted, Reloaded, UserEvent
from comunik_pbx.asterisk.ami_dial import LegEvent
from comunik_pbx.calls.call_end import EVENT, call_end
from comunik_pbx.calls.exact_rings import ExactRings
from comunik_pbx.calls.records import CallRecord, Records
from comunik_pbx.calls.silent_legs import SilentLegs
from comunik_pbx.forwarding.steps import Ring

log = structlog.get_logger(__name__)


async def follow_call_ends(
    ami: AmiClient,
    records: Records,
    rings: ExactRings | None = None,
    silent: SilentLegs | None = None,
    *,
    on_connected: Callable[[], None] = lambda: None,
    on_loaded: Callable[[], None] = lambda: None,
) -> None:
    """Close records as calls end, and tell `rings` and `silent` what becomes of legs, until cancelled.

    `on_connected` is called after each login, when events have been missed (Interception.reconcile); `on_loaded` after
    each login to an Asterisk that has loaded everything, each time it has, and after a reload (Publisher.reconcile).
    """
    told = ""
    async with contextlib.aclosing(ami.events()) as events:
        async for event in events:
            match event:
                case UserEvent() if event.name == EVENT:
                    record = _recorded(event.headers, records)
                    if rings is not None and record is not None and _rang(record):
                        rings.call_rang()
                case LegEvent():
                    if silent is not None:
                        silent.heard(event)
                    if rings is not None and not event.outside:
                        rings.heard(event)
                case FullyBooted() | Reloaded():
                    on_loaded()
                case AmiConnected():
                    told = ""
                    log.info("connected to AMI", host=ami.host, port=ami.port)
                    if rings is not None:
                        rings.connected()
                    if silent is not None:
                        silent.connected()
                    on_connected()
                case AmiDisconnected():
                    if told != (why := str(event.error)):  # not at every attempt
                        told = why
                        log.warning("not connected to AMI: the ends of calls are recorded later", why=why)


def record_end(headers: Mapping[str, str], records: Records) -> bool:
    """Close the record of a call from what the dialplan reports of it (lower-case names); False if it is none."""
    return _recorded(headers, records) is not None


def _rang(record: CallRecord) -> bool:
    """Whether phones surely rang."""
    return any(
        outcome.status in ("ANSWER", "NOANSWER") and isinstance(step, Ring)
        for outcome in record.outcomes
        for step in record.steps[outcome.index - 1 : outcome.index]
    )


def _recorded(headers: Mapping[str, str], records: Records) -> CallRecord | None:
    try:
        record = records.ended(call_end(headers))
    except ValueError as error:
        log.warning("a call's end could not be read", call=headers.get("call", ""), why=str(error))
        return None
    log.info(
        "call",
        id=record.id,
        caller=str(record.call.caller),
        called=record.call.called,
        decided=record.decided.value,
        status=record.status,
        cause=record.cause,
    )
    return record
