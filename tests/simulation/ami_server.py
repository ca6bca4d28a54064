"""Asterisk's manager interface, as much as the service sees of it: AstDB, to whoever has logged in without events."""

import asyncio
from typing import TYPE_CHECKING

from comunik_pbx.needed import ACTIONS
from tests.simulation.network import Transport

if TYPE_CHECKING:
    from tests.simulation.asterisk import Asterisk

BANNER = "Asterisk Call Manager/11.0.0\r\n"

Headers = dict[str, str]


class AmiConnection(asyncio.Protocol):
    """One connection of a client; `asked_at` is when it was last asked for something."""

    def __init__(self, asterisk: "Asterisk") -> None:
        self.logged_in = False
        self.asked_at = asterisk.world.loop.time()
        self._asterisk = asterisk
        self._read = b""

    def idle(self, seconds: float) -> bool:
        """Whether it has stood unused for so long, and not only because nobody could tell us that it is closed."""
        return self.asked_at < self._asterisk.world.loop.time() - seconds and not self.transport.silent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self.transport = transport
        self._asterisk.managers[self] = None
        transport.write(BANNER.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._asterisk.managers.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self._read += data
        self.asked_at = self._asterisk.world.loop.time()
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            lines = self._read[:end].decode("latin-1").split("\r\n")
            self._read = self._read[end + 4 :]
            action = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if not self._asterisk.ami_hangs:
                self._asterisk.process.later(self._asterisk.takes(), self._act, action)

    def _act(self, action: Headers) -> None:
        asterisk, name = self._asterisk, action["Action"]
        family, key = action.get("Family", ""), action.get("Key", "")
        match name:
            case "Login":
                if action.get("Events") != "off":
                    asterisk.world.wrong("a manager logs in who wants events: each costs every call")
                self.logged_in = True
                self._respond(action, "Success", "Authentication accepted")
            case _ if not self.logged_in:
                self._respond(action, "Error", "Permission denied")
            case "ListCommands":
                self._respond(action, "Success", "", **dict.fromkeys(ACTIONS, "something of AstDB"))
            case "DBPut":
                asterisk.world.database[f"/{family}/{key}"] = action.get("Val", "")
                self._respond(action, "Success", "Updated database successfully")
            case "DBDel":
                there = asterisk.world.database.pop(f"/{family}/{key}", None) is not None
                self._respond(
                    action, *(("Success", "Key deleted successfully") if there else ("Error", "DBDel failed"))
                )
            case "DBGetTree":
                self._tree(action, f"/{family}/")
            case _:
                self._respond(action, "Error", "Invalid/unknown command")

    def _tree(self, action: Headers, prefix: str) -> None:
        mark = _mark(action)
        self._respond(action, "Success", "Result will follow", EventList="start")
        found = [(key, value) for key, value in self._asterisk.world.database.items() if key.startswith(prefix)]
        for key, value in found:
            self._send(f"Event: DBGetTreeResponse\r\nKey: {key}\r\nVal: {value}\r\n{mark}\r\n")
        self._send(f"Event: DBGetTreeComplete\r\n{mark}EventList: Complete\r\nListItems: {len(found)}\r\n\r\n")

    def _respond(self, action: Headers, response: str, message: str, **other: str) -> None:
        more = "".join(f"{name}: {value}\r\n" for name, value in other.items())
        said = f"Message: {message}\r\n" if message else ""
        self._send(f"Response: {response}\r\n{_mark(action)}{more}{said}\r\n")

    def _send(self, text: str) -> None:
        self.transport.write(text.encode())


def _mark(action: Headers) -> str:
    return f"ActionID: {action['ActionID']}\r\n" if "ActionID" in action else ""
