"""Strategies: what a real Asterisk said, spoiled; and texts that somebody might hope will be executed."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from tests.fuzz.capture import CAPTURED

FUZZ = settings.get_profile("fuzz")

ARI_EVENTS = (CAPTURED / "ari_events.jsonl").read_bytes().splitlines()
AMI = (CAPTURED / "ami.bin").read_bytes()
ARI_HTTP = (CAPTURED / "ari_http.bin").read_bytes()

HOSTILE = (
    "${SHELL(id)}", "$[1/0]", ";", ",", "|", "~", "&", "!", "#", "\\", '"', "'", "%s", "%0d%0a", "\r\n", "\n", "\0",
    "\r\n\r\nAction: Originate\r\nApplication: System\r\nData: id\r\n\r\n",
    "101@default,b)", "&PJSIP/999", "../../etc/passwd", "?api_key=x", "/continue?context=x", "é", "\ud800",
    "\U0001f4de", " ",
    "9" * 40, "9" * 5000, "-1", "1e999", "nan", "0x10", "١٠١", "+", "*", "{", "}", "[" * 2000,
)  # fmt: skip

hostile = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=40), st.text(st.sampled_from("${}[]();,|~&!\r\n0+"), max_size=30)
)


@st.composite
def spoiled(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """One of these, with pieces lost, doubled, moved, overwritten, or put in from another or from `HOSTILE`."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 8, 64, 1000])))
        match draw(st.integers(0, 5)):
            case 0:
                del data[start:end]
            case 1:
                data[start:start] = data[start:end] * draw(st.sampled_from([1, 2, 50]))
            case 2:
                data[start:end] = draw(st.binary(max_size=8))
            case 3:
                data[start:end] = draw(hostile).encode("utf-8", "surrogatepass")
            case 4:
                other = draw(st.sampled_from(originals))
                place = draw(st.integers(0, len(other)))
                data[start:end] = other[place : place + 100]
            case 5:
                del data[start:]
    return bytes(data)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The same in pieces, as the network may deliver it."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


cuts = st.lists(st.integers(0, 100_000), max_size=6)

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), hostile),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@st.composite
def spoiled_json(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """One of these documents with some values replaced by others: still JSON."""
    document = msgspec.json.decode(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        _replace(document, draw)
    return msgspec.json.encode(_clean(document))


def _replace(value: Any, draw: Callable[[Any], Any]) -> None:
    while True:
        if isinstance(value, dict) and value:
            key: Any = draw(st.sampled_from(sorted(value)))
        elif isinstance(value, list) and value:
            key = draw(st.integers(0, len(value) - 1))
        else:
            return
        if not isinstance(value[key], dict | list) or draw(st.integers(0, 3)) == 0:
            value[key] = draw(st.one_of(hostile, anything) if isinstance(value[key], str) else anything)
            return
        value = value[key]


def _clean(value: Any) -> Any:
    """Without lone surrogates, which no JSON can carry."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return 0
    return value
