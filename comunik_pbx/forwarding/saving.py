"""Checks when a rule is saved: what the decision would refuse on every call is refused here, with the reason.

What depends on who calls (loops of conditional rules, the caller himself) is not: colleagues who back each other
up are normal, and the plan refuses only the step that would go round.
"""

from comunik_pbx.forwarding.directory import Directory, Extension
from comunik_pbx.forwarding.plan import destination
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.forwarding.rules import (
    MAX_RINGS,
    Destination,
    ExtensionRules,
    Rule,
    RuleKind,
    Rules,
    ToExtension,
    ToNumber,
    ToVoicemail,
)


def read_destination(written: str, directory: Directory) -> Destination | Refusal:
    """A destination as people write it: `voicemail`, `102`, `extension 102`, `06 12 34 56 78`, `number +336…`."""
    kind, _, rest = written.strip().partition(" ")
    match kind.lower():
        case "voicemail" if not rest:
            return ToVoicemail()
        case "extension":
            return ToExtension(rest.strip())
        case "number":
            return _number(rest, directory)
    text = written.strip()
    if text in directory.extensions:
        return ToExtension(text)
    if not text.startswith("+") and text.isascii() and text.isdigit() and _like_extension(text, directory):
        return ToExtension(text)
    return _number(text, directory)


def _like_extension(text: str, directory: Directory) -> bool:
    """Digits no longer than our extensions are meant as one, even if there is none of that number."""
    return len(text) <= max((len(number) for number in directory.extensions), default=0)


def _number(text: str, directory: Directory) -> Destination | Refusal:
    number = directory.numbers.e164(text)
    if directory.called(text) is None and (refusal := directory.numbers.refusal(text)):
        return refusal
    return ToNumber(number) if number else Refusal(RefusalCode.NOT_A_NUMBER, text)


def refusal_to_save(rule: Rule, directory: Directory, rules: Rules) -> Refusal | None:
    """Why this rule may not be saved, None if it may. `rules` are those in force (`rules.effective`)."""
    extension = directory.extensions.get(rule.extension)
    if extension is None:
        return Refusal(RefusalCode.UNKNOWN_EXTENSION, rule.extension)
    present: Rule | None = getattr(rules.get(rule.extension, ExtensionRules()), rule.kind)
    if present is not None and present.locked and not rule.locked:
        return Refusal(RefusalCode.LOCKED, present.id)
    if not 0 <= rule.rings <= MAX_RINGS:
        return Refusal(RefusalCode.RINGS, str(rule.rings))
    found = destination(rule, extension, directory)
    if isinstance(found, Refusal):
        return found
    if rule.kind is RuleKind.ALWAYS and rule.enabled and isinstance(found, Extension):
        return _cycle(extension, found, directory, rules)
    return None


def _cycle(extension: Extension, target: Extension, directory: Directory, rules: Rules) -> Refusal | None:
    """A cycle of always rules that forwarding this extension to that one would close."""
    chain = [extension.number]
    current: Extension | None = target
    while current is not None and current.number not in chain:
        chain.append(current.number)
        its = rules.get(current.number)
        onward = destination(its.always, current, directory) if its and its.always and its.always.enabled else None
        current = onward if isinstance(onward, Extension) else None
    if current is not None and current.number == extension.number:
        return Refusal(RefusalCode.CYCLE, " → ".join([*chain, extension.number]))
    return None
