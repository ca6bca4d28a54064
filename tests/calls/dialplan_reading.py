"""How dialplan/fallback.conf reads what is published, in Python: the tests on the real Asterisk hold both alike."""

import re
from collections.abc import Mapping

FORMAT = "1|"


def fallback(stored: Mapping[str, str], called: str, endpoint: str, epoch: float) -> str | None:
    """CK_TODO for a call from this endpoint at this moment; None if it goes to default-plans.conf."""
    caller = stored.get(f"endpoint/{endpoint}", "") if endpoint else ""
    owner = stored.get(f"did/{re.sub('[^0-9]', '', called)}", "") or called
    key = f"internal/{owner}" if caller else f"external/{owner}"
    if caller and stored.get(f"{caller}/{owner}"):
        key = f"{caller}/{owner}"
    piece = key
    while True:
        todo = stored.get(piece, "")
        while todo.endswith(">"):
            piece += "/more"
            if piece not in stored:
                return None
            todo = todo[:-1] + stored[piece]
        if todo.startswith(FORMAT):
            return without_caller(todo, caller)
        if not re.match(r"[0-9]+>1[|]", todo):
            return None
        until, todo = todo.split(">")
        if int(epoch) < int(until):
            return without_caller(todo, caller)
        piece = f"{key}/{until}"


def without_caller(todo: str, caller: str) -> str:
    """The plan as the executor carries it out: the caller's own phones do not ring."""
    return "|".join(step for step in todo.split("|") if not (caller and step.startswith(f"ring~{caller}~")))
