"""Records of calls as people read them: what became of a call, and where it went."""

from typing import Any

from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.web.languages import Gettext
from comunik_pbx.web.needs import CallLine
from comunik_pbx.web.showing import rings, shown_number


def became(call: CallLine) -> str:
    """`answered` (at one's own phone), `forwarded`, `voicemail`, `missed`, or `now` for a call in progress."""
    if call.ended_at is None:
        return "now"
    if call.status == "voicemail":
        return "voicemail"
    if call.status != "answered":
        return "missed"
    step = _answered(call)
    if step is not None and (step.get("kind") == "forward" or step.get("extension") != call.extension):
        return "forwarded"
    return "answered"


def went(call: CallLine, directory: Directory, text: Gettext) -> str:
    """Where a call ended up, in words; empty if nobody took it."""
    if call.status == "voicemail":
        return text("the voicemail")
    step = _answered(call)
    if step is None:
        return ""
    if step.get("kind") == "forward":
        return shown_number(str(step.get("to", "")), directory.numbers.country)
    return person(str(step.get("extension", "")), directory, text)


def person(number: str, directory: Directory, text: Gettext) -> str:
    """Who that is: `102 Bruno Petit`, a number, or "withheld"."""
    if number == "anonymous":
        return text("withheld")
    found = directory.extensions.get(number)
    if found is not None:
        return f"{number} {found.name}".strip()
    return shown_number(number, directory.numbers.country)


def words(text: Gettext) -> dict[str, str]:
    """What each outcome is called."""
    return {
        "now": text("in progress"),
        "answered": text("answered"),
        "forwarded": text("forwarded"),
        "voicemail": text("voicemail"),
        "missed": text("missed"),
    }


def shown_step(step: dict[str, Any], directory: Directory, text: Gettext) -> str:
    """A step of a record's plan, in words."""
    match step.get("kind"):
        case "ring":
            who = person(str(step.get("extension", "")), directory, text)
            long = {
                "to": who,
                "rings": rings(int(step.get("rings", 0)), text),
                "seconds": f"{step.get('seconds', 0):g}",
            }
            return text("%(to)s rings: %(rings)s, about %(seconds)s s") % long
        case "forward":
            to = {
                "to": shown_number(str(step.get("to", "")), directory.numbers.country),
                "trunk": step.get("trunk", ""),
            }
            if step.get("fallback"):
                return text("if that line fails: %(to)s by the line %(trunk)s") % to
            long = to | {"seconds": f"{step.get('seconds', 0):g}"}
            return text("%(to)s is called by the line %(trunk)s, at most %(seconds)s s") % long
        case "voicemail":
            return text("the voicemail")
    return text("the call ends")


def _answered(call: CallLine) -> dict[str, Any] | None:
    """The step of the plan that was answered."""
    for outcome in call.outcome:
        index = outcome.get("index", 0)
        if outcome.get("answered_by") and 0 < index <= len(call.plan):
            step: dict[str, Any] = call.plan[index - 1]
            return step
    return None
