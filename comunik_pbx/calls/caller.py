"""Who calls, from what Asterisk says of the calling channel."""

from comunik_pbx.forwarding.call import Caller
from comunik_pbx.forwarding.directory import Directory


def caller(directory: Directory, endpoint: str, number: str, presentation: str) -> Caller:
    """The caller behind a PJSIP endpoint (empty: none of ours, so external).

    `number` is the caller id as received, never a proof of anything; `presentation` is CALLERID(pres), of which
    `prohib…` and `unavailable` mean that it must not be shown (RFC 3323).
    """
    return Caller(
        extension=directory.by_endpoint.get(endpoint),
        number=directory.numbers.e164(number) or number if number else None,
        withheld=presentation.startswith("prohib") or presentation == "unavailable",
    )
