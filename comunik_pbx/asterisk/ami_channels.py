"""The channels that stand, by AMI: CoreShowChannels, for PBXs without ARI."""

from panoramisk.actions import Action
from panoramisk.message import Message

from comunik_pbx.asterisk.ami_lines import text


class Channels(Action):  # type: ignore[misc]
    """The answer to a CoreShowChannels as it comes: UNIQUEIDs."""

    def __init__(self) -> None:
        super().__init__({"Action": "CoreShowChannels"})
        self.found: set[str] = set()
        self.refused = ""

    def add_message(self, message: Message) -> bool:
        """Called by panoramisk for each channel; True after the last."""
        match text(message, "event"):
            case "CoreShowChannel":
                self.found.add(text(message, "uniqueid"))
                return False
            case "CoreShowChannelsComplete":
                return self._finished()
        if not message.success:
            self.refused = text(message, "message") or "no reason given"
            return self._finished()
        return False

    def _finished(self) -> bool:
        if not self.future.done():
            self.future.set_result(None)
        return True
