"""The end of a call becomes its record, whether the dialplan tells it or AstDB has kept it."""

from collections.abc import Mapping

import structlog

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.calls.call_end import call_end
from comunik_pbx.calls.records import Records

log = structlog.get_logger(__name__)


def record_end(headers: Mapping[str, str], records: Records) -> bool:
    """Close the record of a call from what the dialplan reports of it (lower-case names); False if it is none."""
    try:
        end = call_end(headers)
        known = records.has_ended(end.channel, end.passes)  # told as it happened, and collected before it was stored
        record = records.ended(end)
    except ValueError as error:
        log.warning("a call's end could not be read", call=headers.get("call", ""), why=str(error))
        return False
    if not known:
        log.info(
            "call",
            id=record.id,
            caller=str(record.call.caller),
            called=record.call.called,
            decided=record.decided.value,
            status=record.status,
            cause=record.cause,
        )
    return True


async def tell_ends(ari: AriClient, as_they_happen: bool) -> None:
    """Ask the dialplan to tell the ends of calls by ARI as they happen, or only to keep them in AstDB."""
    await ari.asterisk.set_variable("CK_ENDS", "" if as_they_happen else "kept")


def reported(report: str) -> dict[str, str]:
    """`Call: 1795386765.7,Pass: 1,…`, as the dialplan writes it, as headers with lower-case names."""
    pairs = (field.partition(": ") for field in report.split(","))
    return {name.lower(): value for name, _, value in pairs}
