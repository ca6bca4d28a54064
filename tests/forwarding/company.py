"""A small company for the decision's tests, and strategies for any rules at all."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import BusyPolicy, Directory, Extension, Trunk
from comunik_pbx.forwarding.numbers import NumberFormat, NumberPolicy
from comunik_pbx.forwarding.rules import (
    Destination,
    ExtensionRules,
    Rule,
    RuleKind,
    ToExtension,
    ToNumber,
    ToVoicemail,
)

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MOBILE = "+33612345678"
CARRIER = Trunk(name="carrier", dial="PJSIP/{number}@carrier", endpoints=("carrier",))
BACKUP = Trunk(name="backup", dial="PJSIP/{number}@backup", number_format=NumberFormat.NATIONAL)


def extension(number: str, **other: object) -> Extension:
    """An extension with one phone, a mailbox and a DID, unless told otherwise."""
    usual: dict[str, object] = {
        "endpoints": (number,),
        "mailbox": f"{number}@default",
        "did": (f"+33170000{number}",),
    }
    return Extension(number=number, **(usual | other))  # type: ignore[arg-type]


def directory(*extensions: Extension, trunks: tuple[Trunk, ...] = (CARRIER,), max_hops: int = 5) -> Directory:
    """101 to 107 unless told otherwise, in France, one trunk."""
    return Directory.of(
        extensions or tuple(extension(str(number)) for number in range(101, 108)),
        trunks=trunks,
        numbers=NumberPolicy(country="FR", allowed_countries=("FR",), deny=("+33187*",)),
        max_hops=max_hops,
    )


def to(written: str) -> Destination:
    """`voicemail`, an extension or a number with `+`."""
    if written == "voicemail":
        return ToVoicemail()
    return ToNumber(written) if written.startswith("+") else ToExtension(written)


def rules(*written: str, **changes: object) -> dict[str, ExtensionRules]:
    """Rules as `101 external 3 +336…` (extension, kind, rings, destination)."""
    found: dict[str, dict[str, Rule]] = {}
    for line in written:
        number, kind, rings, where = line.split()
        rule = Rule(extension=number, kind=RuleKind(kind), rings=int(rings), to=to(where), version=1, **changes)  # type: ignore[arg-type]
        found.setdefault(number, {})[kind] = rule
    return {number: ExtensionRules(**its) for number, its in found.items()}


def outside_call(called: str = "101", number: str | None = "+33140000000") -> Call:
    """A call from outside."""
    return Call(caller=Caller(number=number), called=called)


def inside_call(caller: str, called: str = "101") -> Call:
    """A call from an extension."""
    return Call(caller=Caller(extension=caller, number=caller), called=called)


numbers = st.sampled_from([str(n) for n in range(101, 108)])
destinations = st.one_of(
    st.builds(ToVoicemail),
    st.builds(ToExtension, st.one_of(numbers, st.sampled_from(["199", "1;2", "${EXTEN}"]))),
    st.builds(
        ToNumber,
        st.one_of(
            st.sampled_from([MOBILE, "+33140000000", "+33899123456", "112", "*98", "+33170000102", "+33187123456"]),
            st.text(max_size=20),
        ),
    ),
)


@st.composite
def any_rules(draw: st.DrawFn) -> dict[str, ExtensionRules]:
    """Any rules at all, cyclic, expired, off and impossible ones included."""

    def rule(number: str, kind: RuleKind) -> st.SearchStrategy[Rule | None]:
        built = st.builds(
            Rule,
            extension=st.just(number),
            kind=st.just(kind),
            to=destinations,
            rings=st.integers(0, 12),
            enabled=st.sampled_from([True, True, True, False]),
            until=st.sampled_from([None, None, NOW - timedelta(seconds=1), NOW + timedelta(hours=1)]),
        )
        return st.one_of(st.none(), built)

    return {
        number: ExtensionRules(**{str(kind): draw(rule(number, kind)) for kind in RuleKind})
        for number in draw(st.sets(numbers))
    }


@st.composite
def any_directory(draw: st.DrawFn) -> Directory:
    """101 to 107 with and without phones and mailboxes, with no trunk, one or two."""
    people = [
        extension(
            str(number),
            endpoints=draw(st.sampled_from([(str(number),), (str(number), f"{number}-dect"), ()])),
            mailbox=draw(st.sampled_from([f"{number}@default", None])),
            busy=draw(st.sampled_from(BusyPolicy)),
        )
        for number in range(101, 108)
    ]
    trunks = draw(st.sampled_from([(CARRIER, BACKUP), (CARRIER,), ()]))
    return directory(*people, trunks=trunks, max_hops=draw(st.integers(0, 6)))


anybody = st.one_of(numbers, st.sampled_from(["+33170000101", "0170000102", MOBILE, "7", ""]))
calls = st.builds(
    Call,
    caller=st.one_of(
        st.builds(Caller, extension=numbers, number=numbers),
        st.builds(Caller, number=st.sampled_from([None, MOBILE, "+33140000000", "101"]), withheld=st.booleans()),
    ),
    called=st.one_of(numbers, st.sampled_from(["+33170000101", "0170000102", "199", ""])),
    diverted_by=st.one_of(st.just(()), st.lists(anybody, max_size=4).map(tuple)),
    passed=st.one_of(st.just(()), st.lists(anybody, max_size=4).map(tuple)),
)
