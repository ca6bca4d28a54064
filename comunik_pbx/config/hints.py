"""What would be right instead of a rule that was refused."""

from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode

_FIXED = {
    RefusalCode.SELF: "another extension, a number or voicemail",
    RefusalCode.LOCKED: "ask the administrator, or unlock it in the configuration",
    RefusalCode.CYCLE: "one of them must ring, go to voicemail, or go outside",
    RefusalCode.RINGS: "a whole number from 0 to 12",
    RefusalCode.NO_MAILBOX: "give it a mailbox in the configuration, or another destination",
    RefusalCode.NO_TRUNK: "add a [trunks.NAME] to the configuration",
    RefusalCode.OUTSIDE: "an extension or voicemail, or outside = true in the configuration",
    RefusalCode.NOT_A_NUMBER: '"voicemail", an extension, or a telephone number such as +33612345678',
    RefusalCode.UNPROVEN: "its user proves it in the portal, or you vouch: comunik-pbx number prove EXTENSION NUMBER",
    RefusalCode.DENIED: "another number, or take it off forwarding.deny",
}


def hint(refusal: Refusal, directory: Directory) -> str:
    """What would be right, in words."""
    match refusal.code:
        case RefusalCode.UNKNOWN_EXTENSION:
            return f"an extension there is: {extensions(directory)}"
        case RefusalCode.COUNTRY:
            allowed = directory.numbers.allowed_countries or (directory.numbers.country,)
            return f"a number of {', '.join(allowed)}, or add its country to forwarding.allowed_countries"
    return _FIXED.get(refusal.code, "an ordinary telephone number, an extension or voicemail")


def extensions(directory: Directory) -> str:
    """The extensions in words, the first ten of them."""
    numbers = sorted(directory.extensions)
    if not numbers:
        return "none is configured"
    return ", ".join(numbers[:10]) + (f" … ({len(numbers)} in all)" if len(numbers) > 10 else "")
