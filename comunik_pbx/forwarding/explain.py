"""A plan in words and as JSON: what `explain`, the records and the portal's test show."""

from typing import Any

from comunik_pbx.forwarding.call import Call, Origin
from comunik_pbx.forwarding.directory import CallerIdPolicy, Directory
from comunik_pbx.forwarding.plan import Plan, TraceEntry, Why
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.steps import Diversion, End, Forward, OnBusy, Ring, Step, Voicemail

Json = dict[str, Any]

_WHY = {
    Why.ALWAYS: (
        "all calls to {extension} go to {to}",
        "tous les appels au {extension} vont vers {to}",
    ),
    Why.AT_ONCE: (
        "{origin} calls to {extension} go to {to} at once",
        "les appels {origin} au {extension} vont tout de suite vers {to}",
    ),
    Why.AFTER_RINGS: (
        "{origin} calls to {extension} go to {to} after {rings} rings ({seconds:g} s)",
        "les appels {origin} au {extension} vont vers {to} après {rings} sonneries ({seconds:g} s)",
    ),
    Why.DEFAULT: (
        "no rule in force: {extension} rings {rings} times ({seconds:g} s)",
        "aucun renvoi actif : le {extension} sonne {rings} fois ({seconds:g} s)",
    ),
    Why.OWN_CALL: (
        "{extension} calls itself and cannot ring",
        "le {extension} s’appelle lui-même et ne peut pas sonner",
    ),
    Why.NO_ENDPOINT: ("{extension} has no phone", "le {extension} n’a pas de téléphone"),
    Why.FIRST_MAILBOX: (
        "if nobody answers: the voicemail of {extension}",
        "si personne ne répond : la messagerie du {extension}",
    ),
    Why.NOBODY: (
        "if nobody answers: the call ends, {extension} has no mailbox",
        "si personne ne répond : l’appel se termine, le {extension} n’a pas de messagerie",
    ),
    Why.CAME_BACK: (
        "{extension} has rung already and a phone sent the call back: it does not ring again",
        "le {extension} a déjà sonné et un téléphone a renvoyé l’appel : il ne sonne pas une seconde fois",
    ),
    Why.SENT_ON: (
        "the phone of {extension} sends the call to {to}",
        "le téléphone du {extension} envoie l’appel vers {to}",
    ),
    Why.UNKNOWN: (
        "{extension} is neither an extension nor one of our numbers",
        "{extension} n’est ni un poste ni un de nos numéros",
    ),
}

_NOT_FOLLOWED = ("rule {rule} to {to} not followed: {why}", "renvoi {rule} vers {to} non suivi : {why}")

_RULES_FR = {"always": "permanent", "internal": "interne", "external": "externe", "phone": "du téléphone"}

_ORIGIN = {Origin.INTERNAL: ("inside", "internes"), Origin.EXTERNAL: ("outside", "externes")}


def step_json(step: Step) -> Json:
    """One step as the contract gives it; keys of rare values appear only when they are not the usual ones."""
    match step:
        case Ring():
            ring: Json = {
                "kind": "ring",
                "extension": step.extension,
                "endpoints": list(step.endpoints),
                "rings": step.rings,
                "seconds": step.seconds,
            }
            if step.on_busy is OnBusy.END:
                ring["on_busy"] = "end"
            return ring | _diversion_json(step.diversion)
        case Forward():
            forward: Json = {"kind": "forward", "to": step.to, "trunk": step.trunk, "seconds": step.seconds}
            if step.fallback:
                forward["fallback"] = True
            if step.confirm:
                forward["confirm"] = True
            return forward | _diversion_json(step.diversion)
        case Voicemail():
            return {"kind": "voicemail", "mailbox": step.mailbox, "greeting": step.greeting.value}
        case End():
            return {"kind": "end", "cause": step.cause}


def _diversion_json(diversion: Diversion | None) -> Json:
    return {} if diversion is None else {"reason": diversion.reason.value, "diverting": diversion.extension}


def trace_json(entry: TraceEntry, origin: Origin, language: str = "en") -> Json:
    """One reason: for a rule not followed `why` is its code (`loop`, `refused: …`), otherwise a sentence."""
    return {
        "extension": entry.extension,
        "rule": str(entry.rule),
        "version": entry.version,
        "followed": entry.followed,
        "why": str(entry.why) if isinstance(entry.why, Refusal) else words(entry, origin, language),
    }


def as_json(call: Call, plan: Plan, language: str = "en") -> Json:
    """The plan as `explain --json` prints it; `called` is the extension reached, or what was dialled."""
    return {
        "caller": str(call.caller),
        "called": plan.called or call.called,
        "origin": plan.origin.value,
        "steps": [step_json(step) for step in plan.steps],
        "trace": [trace_json(entry, plan.origin, language) for entry in plan.trace],
    }


def words(entry: TraceEntry, origin: Origin, language: str = "en") -> str:
    """The reason as a sentence in the user's language."""
    french = language.startswith("fr")
    if isinstance(entry.why, Refusal):
        rule = _RULES_FR.get(entry.rule, entry.rule) if french else entry.rule
        to = "la messagerie" if french and entry.to == "voicemail" else entry.to
        return _NOT_FOLLOWED[french].format(rule=rule, to=to, why=entry.why.words(language))
    return _WHY[entry.why][french].format(
        extension=entry.extension,
        to="la messagerie" if french and entry.to == "voicemail" else entry.to,
        rings=entry.rings,
        seconds=entry.seconds,
        origin=_ORIGIN[origin][french],
    )


def as_text(call: Call, plan: Plan, directory: Directory, language: str = "en") -> str:
    """The plan as `explain` prints it: a line for the call, one for each step, one for each reason."""
    called = directory.extensions.get(plan.called or "")
    name = f" ({called.name})" if called and called.name else ""
    lines = [f"{call.caller} calls {plan.called or call.called}{name}: {_ORIGIN[plan.origin][0]} call"]
    lines += [f"  {number}. {_step_text(step, call)}" for number, step in enumerate(plan.steps, 1)]
    lines.append("because")
    lines += [f"  {'-' if entry.followed else 'x'} {words(entry, plan.origin, language)}" for entry in plan.trace]
    return "\n".join(lines)


def _step_text(step: Step, call: Call) -> str:
    match step:
        case Ring():
            on_busy = "; if busy, the caller hears busy" if step.on_busy is OnBusy.END else ""
            return (
                f"ring {step.extension} ({', '.join(step.endpoints)}) {step.rings} times, {step.seconds:g} s"
                f"{_diverted(step.diversion)}{on_busy}"
            )
        case Forward():
            how = f"if that trunk fails, call {step.to}" if step.fallback else f"call {step.to}"
            own = step.caller_id is CallerIdPolicy.ORIGINAL and call.caller.extension is None
            shown = f", showing {step.shown}" if step.shown and not own else ""
            confirm = "; who answers must press 1" if step.confirm else ""
            return f"{how} by {step.trunk}{shown}, at most {step.seconds:g} s{_diverted(step.diversion)}{confirm}"
        case Voicemail():
            return f"voicemail {step.mailbox}, greeting {step.greeting}"
        case End():
            return f"end, cause {step.cause} unless a leg gave a better one"


def _diverted(diversion: Diversion | None) -> str:
    return "" if diversion is None else f", diverted by {diversion.extension} ({diversion.reason})"
