"""Why a rule is refused when saved, or not followed on a call: codes, and words in the user's language."""

from enum import StrEnum

import msgspec


class RefusalCode(StrEnum):
    """Stable reasons. Those of a call: off, expired, loop, self, caller, max-hops; the others forbid a destination."""

    OFF = "off"
    EXPIRED = "expired"
    LOOP = "loop"
    SELF = "self"
    CALLER = "caller"
    MAX_HOPS = "max-hops"
    LOCKED = "locked"
    CYCLE = "cycle"
    RINGS = "rings"
    UNKNOWN_EXTENSION = "unknown-extension"
    NO_MAILBOX = "no-mailbox"
    NO_TRUNK = "no-trunk"
    OUTSIDE = "outside"
    AT_ONCE = "limit-at-once"
    PER_DAY = "limit-per-day"
    NOT_A_NUMBER = "not-a-number"
    EMERGENCY = "emergency"
    PREMIUM = "premium"
    SHARED_COST = "shared-cost"
    SHORT_CODE = "short-code"
    STAR_CODE = "star-code"
    VOICEMAIL_ACCESS = "voicemail-access"
    DENIED = "denied"
    COUNTRY = "country"
    UNPROVEN = "unproven"
    NEEDLESS = "no-proof-needed"
    PROOF_CALLS = "proof-calls"
    PROOF_PENDING = "proof-pending"
    NO_CODE = "no-code"
    WRONG_CODE = "wrong-code"


CALL_CODES = frozenset(
    {
        RefusalCode.OFF,
        RefusalCode.EXPIRED,
        RefusalCode.LOOP,
        RefusalCode.SELF,
        RefusalCode.CALLER,
        RefusalCode.MAX_HOPS,
    }
)
"""What keeps a well-formed rule from being followed on one call; all other codes read `refused: …` there."""

_WORDS = {
    RefusalCode.OFF: ("the rule is off", "le renvoi est désactivé"),
    RefusalCode.EXPIRED: ("the rule has expired", "le renvoi a expiré"),
    RefusalCode.LOOP: ("{} is already in the chain of forwards", "{} est déjà dans la chaîne de renvois"),
    RefusalCode.SELF: ("{} would forward to itself", "{} se renverrait à lui-même"),
    RefusalCode.CALLER: ("{} is the caller", "{} est l’appelant"),
    RefusalCode.MAX_HOPS: (
        "the call has been forwarded {} times, which is the most",
        "l’appel a été renvoyé {} fois, c’est le maximum",
    ),
    RefusalCode.LOCKED: (
        "the administrator has locked this rule: {}",
        "l’administrateur a verrouillé ce renvoi : {}",
    ),
    RefusalCode.CYCLE: (
        "these extensions would forward to each other for ever: {}",
        "ces postes se renverraient les appels sans fin : {}",
    ),
    RefusalCode.RINGS: (
        "{} rings: the number of rings is 0 to 12",
        "{} sonneries : il en faut de 0 à 12",
    ),
    RefusalCode.UNKNOWN_EXTENSION: ("there is no extension {}", "le poste {} n’existe pas"),
    RefusalCode.NO_MAILBOX: ("extension {} has no mailbox", "le poste {} n’a pas de messagerie"),
    RefusalCode.NO_TRUNK: (
        "no trunk leads outside, so {} cannot be called",
        "aucune ligne vers l’extérieur : {} ne peut être appelé",
    ),
    RefusalCode.OUTSIDE: (
        "extension {} may not forward calls to outside numbers",
        "le poste {} ne peut pas renvoyer d’appels vers l’extérieur",
    ),
    RefusalCode.AT_ONCE: (
        "extension {} has as many forwarded calls to outside as it may have at a time",
        "le poste {} a déjà autant d’appels renvoyés vers l’extérieur que permis en même temps",
    ),
    RefusalCode.PER_DAY: (
        "extension {} has used up its forwarded calls to outside of today",
        "le poste {} a épuisé ses appels renvoyés vers l’extérieur pour aujourd’hui",
    ),
    RefusalCode.NOT_A_NUMBER: ("{} is not a telephone number", "{} n’est pas un numéro de téléphone"),
    RefusalCode.EMERGENCY: ("{} is an emergency number", "{} est un numéro d’urgence"),
    RefusalCode.PREMIUM: ("{} is a premium-rate number", "{} est un numéro surtaxé"),
    RefusalCode.SHARED_COST: ("{} is a shared-cost number", "{} est un numéro à coût partagé"),
    RefusalCode.SHORT_CODE: ("{} is a short code", "{} est un numéro court"),
    RefusalCode.STAR_CODE: ("{} is a service code, not a number", "{} est un code de service, pas un numéro"),
    RefusalCode.VOICEMAIL_ACCESS: ("{} is a voicemail access number", "{} est un accès à une messagerie"),
    RefusalCode.DENIED: (
        "{} is on the administrator's list of denied numbers",
        "{} est sur la liste des numéros interdits",
    ),
    RefusalCode.COUNTRY: (
        "{} is in a country that calls may not be forwarded to",
        "{} est dans un pays vers lequel les renvois ne sont pas permis",
    ),
    RefusalCode.UNPROVEN: (
        "{} has not been proven: have the system call it, and type the code it says",
        "{} n’a pas été vérifié : faites-le appeler par le système, puis tapez le code entendu",
    ),
    RefusalCode.NEEDLESS: ("{} needs no proof", "{} n’a pas besoin d’être vérifié"),
    RefusalCode.PROOF_CALLS: (
        "{} has been called as often as it may be within an hour: try again later",
        "{} a été appelé autant de fois que permis en une heure : réessayez plus tard",
    ),
    RefusalCode.PROOF_PENDING: (
        "{} is being called: wait until that call has ended",
        "{} est en train d’être appelé : attendez la fin de cet appel",
    ),
    RefusalCode.NO_CODE: (
        "no code of {} is awaited any more: have the system call it again",
        "aucun code n’est plus attendu pour le {} : faites-le appeler de nouveau",
    ),
    RefusalCode.WRONG_CODE: (
        "this is not the code that was said at {}",
        "ce n’est pas le code qui a été dit au {}",
    ),
}


class Refusal(msgspec.Struct, frozen=True):
    """A stable code and what it is about: a number, an extension, a count."""

    code: RefusalCode
    about: str = ""

    def words(self, language: str = "en") -> str:
        """A clause in the user's language (`fr`, anything else is English)."""
        return _WORDS[self.code][language.startswith("fr")].format(self.about)

    def __str__(self) -> str:
        """The code as traces give it: `loop`, or `refused: +33899… is a premium-rate number`."""
        return self.code.value if self.code in CALL_CODES else f"refused: {self.words()}"
