# ruff: noqa: E501 - a message is one line here too
"""Everything wrong is refused with file and key, what is wrong and what would be right; all of it at once."""

import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comunik_pbx import config
from tests.config.company import GOOD, write


def refused(main: Path) -> tuple[config.Problem, ...]:
    """What is wrong; nothing if it loads."""
    try:
        config.load(main)
    except config.ConfigProblems as wrong:
        return wrong.problems
    return ()


def problems(main: Path) -> list[str]:
    """The problems, with the directory's name taken off."""
    return [str(problem).replace(f"{main.parent}/", "") for problem in refused(main)]


def added(text: str) -> str:
    return GOOD + text


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


DIAL = 'right: a dial string with {number}, such as "PJSIP/{number}@carrier"'
ENDPOINTS = 'right: a list of PJSIP endpoint names, such as ["101"]; [] if there is no phone'
NUMBER = '"voicemail", an extension, or a telephone number such as +33612345678'
KEYS = "agi, asterisk, country, extensions, forwarding, include, language, metrics, portal, prompts, records, ringing, store, trunks"

BAD = {
    "syntax": (
        "country = \n",
        ["line 1, column 11: not TOML: invalid value; right: texts in quotes, true or false without, numbers without"],
    ),
    "key twice": (
        'country = "FR"\ncountry = "DE"\n',
        ["line 2, column 15: not TOML: cannot overwrite a value; right: each key and table once"],
    ),
    "unknown key": (changed("language =", "languag ="), ["languag: unknown key; right: did you mean language?"]),
    "unknown table": (added("[webserver]\nport = 80\n"), [f"webserver: unknown key; right: one of {KEYS}"]),
    "no way to ask for a plan": (
        changed('ari_password_file = "ari.secret"', "ari = false"),
        [
            "asterisk.ari: is false, and calls cannot ask by AGI either; "
            'right: true, or listen = "127.0.0.1:4573" under [agi]'
        ],
    ),
    "who may ask by AGI": (
        added('[agi]\nlisten = "127.0.0.1:0"\nallow = ["localhost"]\n'),
        [
            'agi.listen: "127.0.0.1:0" has no usable port; right: an address and a port, such as "127.0.0.1:4573"',
            'agi.allow[0]: is "localhost"; right: a list of addresses or networks, such as ["127.0.0.1"]',
        ],
    ),
    "metrics without a port": (
        added('[metrics]\nlisten = "127.0.0.1"\n'),
        ["metrics.listen: is the text '127.0.0.1'; right: an address and a port, such as \"127.0.0.1:9410\""],
    ),
    "metrics at an impossible port": (
        added('[metrics]\nlisten = "[::1]:70000"\n'),
        ['metrics.listen: "[::1]:70000" has no usable port; right: an address and a port, such as "127.0.0.1:9410"'],
    ),
    "unknown key of an extension": (
        changed('busy = "busy"', 'bussy = "busy"'),
        ["extensions.102.bussy: unknown key; right: did you mean busy?"],
    ),
    "unknown kind": (
        changed("forward.external", "forward.extern"),
        ["extensions.101.forward.extern: unknown kind of rule; right: did you mean external?"],
    ),
    "no country": (
        changed('country = "FR"\n', ""),
        ['country: is missing; right: a country\'s two capital letters (ISO 3166), such as "FR"'],
    ),
    "unknown country": (
        changed('country = "FR"', 'country = "UK"'),
        ['country: no numbering plan is known for "UK"; right: did you mean "GB"?'],
    ),
    "wrong type": (
        added('[ringing]\ndefault_rings = "six"\n'),
        ["ringing.default_rings: is the text 'six'; right: a whole number from 1 to 12"],
    ),
    "out of range": (
        added("[ringing]\ndefault_rings = 13\ncycle_seconds = nan\n"),
        [
            "ringing.default_rings: is 13; right: a whole number from 1 to 12",
            "ringing.cycle_seconds: is nan; right: a number of seconds from 1 to 20",
        ],
    ),
    "rings": (
        changed("rings = 4", "rings = 13"),
        ["extensions.101.forward.external.rings: is 13; right: a whole number from 0 to 12"],
    ),
    "not a table": (
        changed("[extensions.103]", "[extensions]\n103 = 1"),
        ["extensions.103: is 1, not a table; right: a table [extensions.103]"],
    ),
    "extension that is no number": (
        added("[extensions.alice]\n"),
        ["extensions.alice: is not an extension; right: digits only, such as [extensions.101]"],
    ),
    "endpoint with dialplan characters": (
        changed('"alice-mobile"', '"alice,1,System(rm)"'),
        [f"extensions.101.endpoints[1]: is the text 'alice,1,System(rm)'; {ENDPOINTS}"],
    ),
    "newline at the end of a name": (
        changed('"alice-mobile"', '"alice\\n"'),
        [f"extensions.101.endpoints[1]: is the text 'alice\\n'; {ENDPOINTS}"],
    ),
    "dial with dialplan characters": (
        changed("PJSIP/{number}@carrier", "PJSIP/{number}@carrier,30,g"),
        [f"trunks.carrier.dial: is the text 'PJSIP/{{number}}@carrier,30,g'; {DIAL}"],
    ),
    "dial without number": (
        changed("PJSIP/{number}@carrier", "PJSIP/carrier"),
        [f'trunks.carrier.dial: is "PJSIP/carrier": {{number}} must stand in it once; {DIAL}'],
    ),
    "trunk without dial": (added("[trunks.third]\n"), [f"trunks.third.dial: is missing; {DIAL}"]),
    "mailbox without context, once": (
        changed('"101@default"', '"101"'),
        [
            "extensions.101.mailbox: is the text '101'; right: a mailbox BOX@CONTEXT of voicemail.conf, such as \"101@default\""
        ],
    ),
    "company without number": (
        changed('endpoints = ["carrier"]', 'caller_id = "company"'),
        ['trunks.carrier.company_number: is missing: caller_id is "company"; right: a telephone number'],
    ),
    "DID that is no number": (
        changed('"01 70 00 01 91"', '"abc"'),
        ['extensions.101.did[1]: "abc" is not a telephone number; right: such as +33170000101'],
    ),
    "DID twice, written differently": (
        added('did = ["0170000101"]\n'),
        ["extensions.103.did: +33170000101 is also a DID of extension 101; right: each DID once"],
    ),
    "endpoint of two extensions": (
        added('endpoints = ["101"]\n'),
        ['extensions.103.endpoints: "101" is also an endpoint of extension 101; right: each endpoint once'],
    ),
    "endpoint of a trunk and an extension": (
        added('endpoints = ["carrier"]\n'),
        [
            'extensions.103.endpoints: "carrier" is also an endpoint of trunk carrier: its calls cannot be both inside and '
            "outside; right: each endpoint is a trunk's or an extension's"
        ],
    ),
    "destination that does not exist": (
        added('[extensions.103.forward.internal]\nto = "199"\n'),
        ["extensions.103.forward.internal.to: there is no extension 199; right: an extension there is: 101, 102, 103"],
    ),
    "destination that is nothing": (
        added('[extensions.103.forward.internal]\nto = "my mobile"\n'),
        [f"extensions.103.forward.internal.to: my mobile is not a telephone number; right: {NUMBER}"],
    ),
    "voicemail without mailbox": (
        added('[extensions.103.forward.internal]\nto = "voicemail"\n'),
        [
            "extensions.103.forward.internal.to: extension 103 has no mailbox; right: give it a mailbox in the configuration, or another destination"
        ],
    ),
    "another country": (
        added('[extensions.103.forward.internal]\nto = "+442079460000"\n'),
        [
            "extensions.103.forward.internal.to: +442079460000 is in a country that calls may not be forwarded to; right: a number of FR, BE, or add its country to forwarding.allowed_countries"
        ],
    ),
    "to oneself": (
        added('[extensions.103.forward.internal]\nto = "103"\n'),
        [
            "extensions.103.forward.internal.to: 103 would forward to itself; right: another extension, a number or voicemail"
        ],
    ),
    "cycle of always rules, once": (
        changed('"06 12 34 56 78"', '"103"') + '[extensions.103.forward.always]\nto = "102"\n',
        [
            "extensions.102.forward.always.to: these extensions would forward to each other for ever: 102 → 103 → 102; right: one of them must ring, go to voicemail, or go outside"
        ],
    ),
    "include that is not there": (
        'include = ["more.toml"]\n' + GOOD,
        ["include[0]: more.toml does not exist; right: a file that exists; relative names start at this file"],
    ),
    "include that is no list": (
        'include = "more.toml"\n' + GOOD,
        ["include: is the text 'more.toml', not a list of texts; right: such as [\"extensions.d/*.toml\"]"],
    ),
    "no password": (
        changed('ari_password_file = "ari.secret"\n', ""),
        [
            "asterisk.ari_password_file: is missing: no password is given; right: a file, or COMUNIK_PBX_ARI_PASSWORD in the environment"
        ],
    ),
    "password twice": (
        changed('ari_password_file = "ari.secret"', 'ari_password_file = "ari.secret"\nari_password = "x"'),
        ["asterisk.ari_password: is given, and ari_password_file too; right: one"],
    ),
    "secret file missing": (
        changed('"ari.secret"', '"nowhere"'),
        [
            "asterisk.ari_password_file: nowhere does not exist; right: a file that exists; relative names start at this file"
        ],
    ),
    "ARI address": (
        changed("[forwarding]", "").replace(
            "allowed_countries", 'ari_url = "localhost:8088"\n[forwarding]\nallowed_countries'
        ),
        ["asterisk.ari_url: is the text 'localhost:8088'; right: an address http://HOST:PORT/ari (or https://)"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case: str, tmp_path: Path) -> None:
    text, expected = BAD[case]
    assert problems(write(tmp_path, text)) == [f"comunik.toml: {line}" for line in expected]


def test_all_at_once_in_all_files(tmp_path: Path) -> None:
    more = '[extensions.101]\nname = "Another"\n[extensions.101.forward.external]\nto = "102"\n[ringing]\ndefault_rings = 0\n'
    text = 'include = ["more.toml"]\n' + GOOD.replace("rings = 4", "rings = -1").replace('"FR", "BE"', '"XX"')
    assert problems(write(tmp_path, text, more__toml=more)) == [
        'comunik.toml: forwarding.allowed_countries[0]: no numbering plan is known for "XX"; '
        'right: a country\'s two letters (ISO 3166), such as "FR"',
        "comunik.toml: extensions.101.forward.external.rings: is -1; right: a whole number from 0 to 12",
        "comunik.toml: extensions.102.forward.always.to: +33612345678 is in a country that calls may not be forwarded to; "
        "right: a number of XX, or add its country to forwarding.allowed_countries",
        "more.toml: extensions.101: is already defined in comunik.toml (given twice: name); right: define it once",
        "more.toml: extensions.101.forward.external: is already given in comunik.toml; right: give it once",
        "more.toml: ringing.default_rings: is 0; right: a whole number from 1 to 12",
    ]


def test_a_broken_included_file_is_the_only_mistake(tmp_path: Path) -> None:
    text = 'include = ["more.toml"]\n' + GOOD + '[extensions.103.forward.internal]\nto = "104"\n'
    assert problems(write(tmp_path, text, more__toml="[extensions.104\n")) == [
        "more.toml: line 1, column 16: not TOML: expected ']' at the end of a table declaration; "
        'right: lines such as key = "value", and tables such as [ringing]'
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "ari.secret is empty"),
        ("one\ntwo\n", "ari.secret holds more than one line or spaces around it"),
        (" secret \n", "ari.secret holds more than one line or spaces around it"),
    ],
)
def test_secret_file_content(content: str, what: str, tmp_path: Path) -> None:
    found = problems(write(tmp_path, ari__secret=content))
    assert found == [f"comunik.toml: asterisk.ari_password_file: {what}; right: one line, the password alone"]


def test_password_is_never_shown(tmp_path: Path) -> None:
    text = GOOD.replace('ari_password_file = "ari.secret"', "ari_password = 12345")
    assert problems(write(tmp_path, text)) == [
        "comunik.toml: asterisk.ari_password: is a wrong value; right: the password"
    ]


def test_unreadable_files_say_who_would_have_to_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = write(tmp_path, 'include = ["more.toml"]\n' + GOOD, more__toml="")
    real_open = Path.open

    def forbidden(path: Path, *args: object, **kwargs: object) -> object:
        if path.name in {"more.toml", "ari.secret"}:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", forbidden)
    user = pwd.getpwuid(os.geteuid()).pw_name
    right = f"right: let user {user} read it (chgrp {user} FILE; chmod 640 FILE), or run as the user that may"
    assert problems(main) == [
        f"comunik.toml: asterisk.ari_password_file: ari.secret may not be read by user {user}; {right}",
        f"more.toml: may not be read by user {user}; {right}",
    ]


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59", "0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00"])
def test_moments_at_the_ends_of_the_calendar(until: str, tmp_path: Path) -> None:
    wrong = refused(write(tmp_path, changed("rings = 4", f"until = {until}")))
    assert [problem.key for problem in wrong] in ([], ["extensions.101.forward.external.until"])


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a = " + b"[" * 5000, b"a = 1" + b"0" * 5000, b"\0", b"a.b.c." * 3000]
)
def test_hostile_files(content: bytes, tmp_path: Path) -> None:
    main = write(tmp_path)
    main.write_bytes(content)
    assert problems(main)


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path.name}: is a directory; right: a file"]


KEYS_TOML = st.sampled_from(
    [
        "country",
        "include",
        "asterisk",
        "extensions",
        "101",
        "102",
        "forward",
        "always",
        "to",
        "rings",
        "did",
        "until",
        "trunks",
        "dial",
        "endpoints",
        "mailbox",
        "ringing",
        "cycle_seconds",
        "ari_url",
        "store",
        "url",
        "x",
        "ari_password_file",
        '"a b"',
    ]
)
VALUES_TOML = st.one_of(
    st.sampled_from(
        ['"FR"', '"101"', '"voicemail"', '"+33612345678"', "[]", '["101"]', "{}", "1979-05-27", "07:32:00"]
    ),
    st.sampled_from(
        ["9999-12-31T23:59:59", "0001-01-01T00:00:00+14:00", "inf", "nan", '"\\u0000"', '["\\u0000*"]', '"sqlite:///a"']
    ),
    st.integers().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.text(max_size=8).map(lambda text: "'" + text.replace("'", "").replace("\n", "") + "'"),
)
LINES = st.one_of(
    st.builds("{} = {}".format, st.lists(KEYS_TOML, min_size=1, max_size=5).map(".".join), VALUES_TOML),
    st.lists(KEYS_TOML, min_size=1, max_size=5).map(lambda parts: f"[{'.'.join(parts)}]"),
    st.text(max_size=10),
)


@given(st.lists(LINES, max_size=12).map("\n".join), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_text_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, text: str, after_good: bool) -> None:
    directory = tmp_path_factory.getbasetemp() / "hypothesis"
    directory.mkdir(exist_ok=True)
    for problem in refused(write(directory, (GOOD if after_good else "") + text)):
        assert "\n" not in str(problem)
