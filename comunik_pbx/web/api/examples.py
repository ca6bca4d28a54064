"""An example of every operation, as its description shows it. A test tries each on a company of these people."""

from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

_WHEN = "2026-11-24T12:00:00Z"
_SESSION = "5e884898da28047151d0e56f8dc6292773603d0d6aabbd62a11ef721d1542d8e"

_RULE = {
    "kind": "external",
    "to": "+33612345678",
    "rings": 3,
    "enabled": True,
    "until": "2026-12-24T17:00:00Z",
    "expired": False,
    "source": "user",
    "locked": False,
    "version": 1,
    "changed_by": "api:101",
    "changed_at": _WHEN,
    "words": "Calls from outside go to 06 12 34 56 78 after 3 rings (about 15 s).",
}
_STEPS = [
    {"kind": "ring", "extension": "101", "endpoints": ["101"], "rings": 3, "seconds": 15.0},
    {
        "kind": "forward",
        "to": "+33612345678",
        "trunk": "carrier",
        "seconds": 60.0,
        "reason": "no-answer",
        "diverting": "101",
    },
    {"kind": "voicemail", "mailbox": "101@default", "greeting": "unavailable"},
]
_TRACE = [
    {
        "extension": "101",
        "rule": "external",
        "version": 1,
        "followed": True,
        "why": "outside calls to 101 go to +33612345678 after 3 rings (15 s)",
    }
]
_CALL = {
    "id": "1795500000.42",
    "started_at": _WHEN,
    "ended_at": "2026-11-24T12:00:40Z",
    "caller": "+33140000000",
    "called": "+33170000101",
    "extension": "101",
    "origin": "external",
    "became": "forwarded",
    "decided": "live",
    "cause": 16,
    "plan": _STEPS,
    "trace": _TRACE,
    "outcome": [{"index": 1, "status": "NOANSWER"}, {"index": 2, "status": "ANSWER", "answered_by": "carrier"}],
}
_CHANGE = {
    "extension": "101",
    "kind": "external",
    "action": "set",
    "changed_by": "portal:101",
    "changed_at": _WHEN,
    "new_target": True,
    "before": None,
    "after": {"to_kind": "number", "to_number": "+33612345678", "rings": 3, "enabled": True, "until": None},
}
_PROFILE = {
    "full_name": "Alice Martin",
    "department": "Ventes",
    "email": "alice@example.com",
    "address": "1 rue de la Paix\n75002 Paris",
    "phone": "+33612345678",
}
_PREFERENCES = {"language": "fr", "theme": "dark"}
_AUDIT = {
    "at": _WHEN,
    "account": "101",
    "action": "signed in",
    "by": "101",
    "address": "192.0.2.1",
    "detail": "",
}
_EXTENSION = {
    "number": "101",
    "name": "Alice Martin",
    "department": "Ventes",
    "did": ["+33170000101"],
    "mailbox": "101@default",
    "rules": {
        "external": {
            "to": "+33612345678",
            "rings": 3,
            "enabled": True,
            "until": None,
            "locked": False,
            "source": "user",
            "changed_by": "portal:101",
            "changed_at": _WHEN,
        }
    },
}
_PROVEN = {"number": "+33612345678", "proven_at": _WHEN, "proven_by": "api:101"}
_NUMBER_IN = {"name": "London office", "comment": "until spring", "enabled": True}
_NUMBER = {**_NUMBER_IN, "number": "+442079460000", "changed_by": "api:boss", "changed_at": _WHEN}


_EVENT = 'event: state\ndata: {"state":"phone","words":"Your phone rings: pick it up."}\n\n'


@dataclass(frozen=True)
class Example:
    """What is sent and what comes back; `given` are the parameters."""

    answer: Any = None
    sent: Any = None
    given: dict[str, Any] = field(default_factory=dict)


_OF_101 = {"number": "101"}
_MOBILE = {"number": "0612345678"}

EXAMPLES: dict[tuple[str, str], Example] = {
    ("get", "/me"): Example(
        {
            "account": "101",
            "role": "user",
            "language": "fr",
            "extension": "101",
            "name": "Alice Martin",
            "did": ["+33170000101"],
            "voicemail": True,
            "default_rings": 6,
            "ring_seconds": 5.0,
            "scopes": ["rules:read"],
        }
    ),
    ("post", "/numbers/{number}/proof"): Example({"number": "+33612345678", "state": "calling"}, given=_MOBILE),
    ("get", "/numbers/{number}/proof"): Example({"number": "+33612345678", "state": "said"}, given=_MOBILE),
    ("post", "/numbers/{number}/proof/code"): Example(_PROVEN, {"code": "40718"}, _MOBILE),
    ("get", "/numbers"): Example([_PROVEN]),
    ("put", "/rules/{kind}"): Example(
        _RULE,
        {"to": "06 12 34 56 78", "rings": 3, "until": "2026-12-24T18:00:00+01:00", "enabled": True},
        {"kind": "external"},
    ),
    ("get", "/rules"): Example([_RULE]),
    ("patch", "/rules/{kind}"): Example(
        {**_RULE, "enabled": False, "words": ""}, {"enabled": False}, {"kind": "external"}
    ),
    ("get", "/history"): Example([_CHANGE], given={"limit": 20}),
    ("get", "/explain"): Example(
        {"caller": "+33140000000", "called": "101", "origin": "external", "steps": _STEPS, "trace": _TRACE},
        given={"caller": "01 40 00 00 00"},
    ),
    ("delete", "/rules/{kind}"): Example(given={"kind": "external"}),
    ("put", "/profile"): Example({**_PROFILE, "photo": 0}, {**_PROFILE, "phone": "06 12 34 56 78"}),
    ("get", "/profile"): Example({**_PROFILE, "photo": 1}),
    ("put", "/profile/photo"): Example(),
    ("get", "/profile/photo"): Example(),
    ("delete", "/profile/photo"): Example(),
    ("put", "/preferences"): Example(_PREFERENCES, _PREFERENCES),
    ("get", "/preferences"): Example(_PREFERENCES),
    ("post", "/calls"): Example({"dialled": "102"}, {"to": "102"}),
    ("get", "/calls"): Example([_CALL], given={"limit": 20}),
    ("get", "/calls/dialled/progress"): Example(_EVENT),
    ("delete", "/calls/dialled"): Example(),
    ("get", "/extensions"): Example([{"number": "102", "name": "Bruno Petit"}], given={"find": "bruno"}),
    ("get", "/security/sessions"): Example(
        [
            {
                "id": _SESSION,
                "browser": "Firefox, Windows",
                "address": "192.0.2.1",
                "created_at": _WHEN,
                "seen_at": _WHEN,
            }
        ]
    ),
    ("delete", "/security/sessions/{session}"): Example(given={"session": _SESSION}),
    ("delete", "/security/sessions"): Example(),
    ("get", "/security/audit"): Example([_AUDIT], given={"limit": 20}),
    ("put", "/security/password"): Example(
        sent={"current": "correcte cheval pile agrafe", "new": "sept girafes lentes volent"}
    ),
    ("get", "/admin/company"): Example(
        {
            "files": ["/etc/comunik-pbx/comunik.toml"],
            "country": "FR",
            "allowed_countries": ["FR"],
            "allow": [],
            "deny": ["+33899*"],
        }
    ),
    ("get", "/admin/extensions"): Example([_EXTENSION], given={"find": "alice"}),
    ("get", "/admin/extensions/{number}"): Example(_EXTENSION, given=_OF_101),
    ("get", "/admin/extensions/{number}/profile"): Example({**_PROFILE, "photo": 1}, given=_OF_101),
    ("get", "/admin/extensions/{number}/photo"): Example(given=_OF_101),
    ("get", "/admin/history"): Example([_CHANGE], given={"limit": 20, "extension": "101"}),
    ("get", "/admin/audit"): Example([_AUDIT], given={"limit": 20, "account": "101"}),
    ("get", "/admin/calls"): Example([_CALL], given={"limit": 20, "extension": "101"}),
    ("put", "/admin/numbers/{number}"): Example(_NUMBER, _NUMBER_IN, {"number": "+442079460000"}),
    ("get", "/admin/numbers"): Example([_NUMBER], given={"find": "london"}),
    ("delete", "/admin/numbers/{number}"): Example(given={"number": "+442079460000"}),
}


def show_examples(app: FastAPI) -> None:
    """Put the examples into an application's description."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if (example := EXAMPLES.get((method, path))) is not None:
                    _show(operation, example)
        return document

    app.openapi = described  # type: ignore[method-assign]


def _show(operation: dict[str, Any], example: Example) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in example.given:
            parameter["example"] = example.given[parameter["name"]]
    if example.sent is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example.sent
    if example.answer is not None:
        good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        for content in good["content"].values():
            content["example"] = example.answer
