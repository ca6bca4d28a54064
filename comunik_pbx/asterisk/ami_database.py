"""AstDB by AMI, many entries at a time: panoramisk frames, and these take what comes back under one ActionID.

One future for each of 20,000 entries would cost a second and more of the event loop.
"""

import asyncio
from collections.abc import Mapping, Sequence

from panoramisk.actions import Action
from panoramisk.message import Message

from comunik_pbx.asterisk.ami_lines import header, text


class Answers(Action):  # type: ignore[misc]
    """The answers to many changes of AstDB sent under one ActionID: Asterisk answers them in their order."""

    def __init__(self, changes: Sequence[tuple[str, str | None]]) -> None:
        super().__init__({"Action": "DBPut"})
        self.refused = ""
        self._changes = changes
        self._answered = 0

    def frames(self, family: str) -> bytes:
        """All of them as they are sent."""
        head = f"ActionID: {self.id}\r\n{header('Family', family)}"
        return "".join(
            [
                f"Action: DBDel\r\n{head}{header('Key', key)}\r\n"
                if value is None
                else f"Action: DBPut\r\n{head}{header('Key', key)}{header('Val', value)}\r\n"
                for key, value in self._changes
            ]
        ).encode("latin-1")

    def add_message(self, message: Message) -> bool:
        """Called by panoramisk for each answer; True after the last."""
        key, value = self._changes[self._answered]
        self._answered += 1
        # Deleting what is not there is no error.
        if value is not None and not message.success and not self.refused:
            self.refused = f"{key}: {text(message, 'message') or 'no reason given'}"
        return _finished(self.future, self._answered == len(self._changes))


class Tree(Action):  # type: ignore[misc]
    """The entries of a DBGetTree as they come."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.entries: dict[str, str] = {}
        self.refused = ""

    def add_message(self, message: Message) -> bool:
        """Called by panoramisk for each entry; True after the last."""
        match text(message, "event"):
            case "DBGetTreeResponse":
                self.entries[text(message, "key")] = text(message, "val")
                return False
            case "DBGetTreeComplete":
                return _finished(self.future, True)
        if not message.success:
            self.refused = text(message, "message") or "no reason given"
        return _finished(self.future, bool(self.refused))


def _finished(answer: "asyncio.Future[None]", finished: bool) -> bool:
    if finished and not answer.done():
        answer.set_result(None)
    return finished
