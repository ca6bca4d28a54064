"""Real SIP phones for demo and call stories, so that a story reads like prose.

    async with Phones(sandbox) as phones:
        alice = await phones.register("101")
        bruno = await phones.register("102")
        mobile = (await phones.carrier()).number("+33612345678")

        call = await alice.dial("102")
        incoming = await bruno.rings()
        await call.ringing()
        await incoming.answer()
        await call.answered()
        await call.hears(bruno)
        await incoming.hears(alice)
        await call.hangup()
        await incoming.ended()

Every phone and every outside number says one pure tone of its own into its calls, from the moment there is audio;
`hears` waits until that tone arrives at the other side. Everything waits for events, with a time limit in seconds,
and raises `NotHeard` (an AssertionError) with what did happen instead. Phones register over UDP with digest.

All SIP messages of a call are kept: `call.invite` is the INVITE (received or sent), `call.messages` all of them,
`call.statuses` the answers to one's own INVITE, such as `[180, 183, 486]` (100, 401 and 407 left out).
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from comunik_pbx.sandbox.company import Secrets, load_secrets
from comunik_pbx.sandbox.errors import NotHeard, PhoneError
from comunik_pbx.sandbox.layout import CARRIER_PORT, Layout
from comunik_pbx.sandbox.phone_call import IncomingCall, OutgoingCall, PhoneCall
from comunik_pbx.sandbox.sip_message import SipMessage
from comunik_pbx.sandbox.softphone_process import Event, Relay, SoftphoneProcess
from comunik_pbx.sandbox.tones import FREQUENCIES

RINGS_SECONDS = 10.0


class Line:
    """Something that can be called and can call: a registered phone or a number behind a carrier.

    `name` is for messages, `hertz` is its tone, `calls` are all calls it had, oldest first.
    """

    def __init__(self, name: str, hertz: float, station: "Station") -> None:
        self.name = name
        self.hertz = hertz
        self.calls: list[PhoneCall] = []
        self._station = station
        self._arrived: asyncio.Queue[IncomingCall] = asyncio.Queue()

    def __repr__(self) -> str:
        return f"<{self.name}, {self.hertz:g} Hz>"

    async def rings(self, within: float = RINGS_SECONDS) -> IncomingCall:
        """The next call that comes in, at most `within` seconds from now; raises `NotHeard`.

        The phone has sent 180 Ringing; the call waits for `answer`, `reject` or the caller's hanging up.
        A call that came in before is returned at once, each call once.
        """
        try:
            return await asyncio.wait_for(self._arrived.get(), within)
        except TimeoutError:
            raise NotHeard(f"{self.name} did not ring within {within:g} s") from None

    async def stays_quiet(self, seconds: float) -> None:
        """Make sure that no call comes in for `seconds`; raises `NotHeard` at once if one does."""
        with suppress(NotHeard):
            call = await self.rings(seconds)
            raise AssertionError(f"{self.name} rang, called by {call.caller}; it should have stayed quiet")

    @property
    def rang(self) -> int:
        """How many calls came in so far."""
        return sum(isinstance(call, IncomingCall) for call in self.calls)

    async def dial(self, number: str, *, headers: dict[str, str] | None = None) -> OutgoingCall:
        """Call `number` (as it goes into the request URI) and return at once; `headers` are added to the INVITE."""
        account = await self._account()
        uri = f"sip:{number}@{self._station.dial_domain};transport=udp"
        started = time.time()
        answer = await self._station.softphone.request("dial", account=account, uri=uri, headers=headers or {})
        call = OutgoingCall(self, answer["call"], answer["call_id"] or "", self._station.softphone, started)
        self._station.adopt(call)
        return call

    async def _account(self) -> int:
        raise NotImplementedError


class Phone(Line):
    """A phone registered for an extension. Made by `Phones.register`."""

    def __init__(self, extension: str, name: str, hertz: float, station: "Station", account: int) -> None:
        super().__init__(name, hertz, station)
        self.extension = extension
        self._handle = account

    async def unregister(self) -> None:
        """Leave the registrar; the phone can no longer be rung."""
        await self._station.softphone.request("unregister", account=self._handle)

    async def lamp(self, lit: bool = True, within: float = 15.0) -> None:
        """Wait until the message lamp is on (or off): Messages-Waiting in a NOTIFY (RFC 3842)."""

        def last() -> bool | None:
            for message in reversed(self._station.notifies):
                if message.uri_user.startswith(self.extension) and "Messages-Waiting:" in message.body:
                    return "Messages-Waiting: yes" in message.body
            return None

        await self._station.until(lambda: last() is lit, within, lambda: f"the lamp of {self.name} is {last()}")

    async def _account(self) -> int:
        return self._handle


class OutsideNumber(Line):
    """A number behind a carrier: what rings when the PBX calls it, and what can call the company.

    Made by `Carrier.number`, `Carrier.anonymous`, `Carrier.withheld`, `Carrier.forged`.
    `always_sends` are headers on every INVITE of it.
    """

    def __init__(
        self,
        number: str,
        domain: str,
        hertz: float,
        station: "Station",
        always_sends: dict[str, str] | None = None,
    ) -> None:
        super().__init__(number, hertz, station)
        self.number = number
        self._domain = domain
        self._always_sends = always_sends or {}
        self._handle: int | None = None

    async def dial(self, number: str, *, headers: dict[str, str] | None = None) -> OutgoingCall:
        """Call the company from outside: a DID such as `+33170000101`, or an extension."""
        return await super().dial(number, headers={**self._always_sends, **(headers or {})})

    async def _account(self) -> int:
        if self._handle is None:
            answer = await self._station.softphone.request(
                "account", user=self.number, domain=self._domain, hertz=self.hertz
            )
            self._handle = int(answer["account"])
            self._station.lines[self._handle] = self
        return self._handle


class Carrier:
    """A carrier's switch at its address: takes calls for any number, and calls the company. See `Phones.carrier`."""

    def __init__(self, trunk: str, address: str, station: "Station", hertz: Callable[[], float]) -> None:
        self.trunk = trunk
        self.address = address
        self._station = station
        self._hertz = hertz
        self._numbers: dict[str, OutsideNumber] = {}
        station.line_of = self._called

    def number(self, number: str) -> OutsideNumber:
        """The telephone with this number, the same object at every call."""
        if number not in self._numbers:
            self._numbers[number] = OutsideNumber(number, self.address, self._hertz(), self._station)
        return self._numbers[number]

    def anonymous(self) -> OutsideNumber:
        """A caller nobody knows: From anonymous@anonymous.invalid, no P-Asserted-Identity (RFC 3323 4.1)."""
        return OutsideNumber("anonymous", "anonymous.invalid", self._hertz(), self._station, {"Privacy": "id"})

    def withheld(self, number: str) -> OutsideNumber:
        """A caller who withholds his number: anonymous From, asserted to the PBX with Privacy: id (RFC 3325)."""
        headers = {"P-Asserted-Identity": f"<sip:{number}@{self.address}>", "Privacy": "id"}
        return OutsideNumber("anonymous", "anonymous.invalid", self._hertz(), self._station, headers)

    def forged(self, user: str) -> OutsideNumber:
        """A caller who pretends to be extension `user`, in From and P-Asserted-Identity."""
        headers = {"P-Asserted-Identity": f"<sip:{user}@{self.address}>"}
        return OutsideNumber(user, self.address, self._hertz(), self._station, headers)

    @property
    def calls(self) -> list[PhoneCall]:
        """Every call the PBX sent to this carrier, whatever the number."""
        return [call for line in self._numbers.values() for call in line.calls if isinstance(call, IncomingCall)]

    def _called(self, invite: SipMessage) -> Line:
        return self.number(invite.uri_user)


class Station:
    """One softphone process with its lines, and where its events go."""

    def __init__(self, dial_domain: str) -> None:
        self.dial_domain = dial_domain
        self.softphone: SoftphoneProcess
        self.relay: Relay | None = None
        self.lines: dict[int, Line] = {}
        self.notifies: list[SipMessage] = []
        self.line_of: Callable[[SipMessage], Line] | None = None
        self._calls: dict[int, PhoneCall] = {}
        self._dialogs: dict[str, list[SipMessage]] = {}
        self._by_call_id: dict[str, PhoneCall] = {}
        self._changed = asyncio.Event()
        self._arriving: set[asyncio.Task[None]] = set()
        self.died: str | None = None

    def adopt(self, call: PhoneCall) -> None:
        """Let a call know its own events from here on, and what has come for it already."""
        self._calls[call.handle] = call
        call.line.calls.append(call)
        if call.call_id:
            self._by_call_id[call.call_id] = call
            for message in self._dialogs.get(call.call_id, []):
                call.on_message(message)
        if self.died:
            call.on_event({"event": "closed", "at": time.time(), "text": self.died})

    def on_event(self, event: Event) -> None:
        """Take one event of the process."""
        kind = event["event"]
        if kind == "sip":
            message = SipMessage(event["at"], event["sent"], event["message"])
            self._dialogs.setdefault(message.call_id, []).append(message)
            if message.method == "NOTIFY" and not message.sent:
                self.notifies.append(message)
            if call := self._by_call_id.get(message.call_id):
                call.on_message(message)
        elif kind == "incoming":
            task = asyncio.create_task(self._arrive(event))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)
        elif known := self._calls.get(event.get("call", 0)):
            known.on_event(event)
        self._changed.set()

    def on_death(self, sentence: str) -> None:
        """The process is gone: every call of it has ended."""
        self.died = sentence
        for call in self._calls.values():
            call.on_event({"event": "closed", "at": time.time(), "text": sentence})
        self._changed.set()

    async def _arrive(self, event: Event) -> None:
        call_id = event["call_id"]

        def invite() -> SipMessage | None:
            return next((m for m in self._dialogs.get(call_id, []) if m.method == "INVITE" and not m.sent), None)

        await self.until(lambda: invite() is not None, 2.0, lambda: "an INVITE was announced and not traced")
        found = invite()
        assert found is not None  # noqa: S101
        line = self.lines.get(event["account"]) or (self.line_of(found) if self.line_of else None)
        if line is not None:
            with suppress(PhoneError):  # it may be over already
                await self.softphone.request("say", call=event["call"], hertz=line.hertz)
            call = IncomingCall(line, event["call"], call_id, self.softphone, event["at"])
            self.adopt(call)
            line._arrived.put_nowait(call)

    async def until(self, true: Callable[[], bool], within: float, otherwise: Callable[[], str]) -> None:
        """Wait until an event makes `true()` true; raises `NotHeard` with `otherwise()` after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise NotHeard(f"{otherwise()} after {within:g} s") from None

    async def close(self) -> None:
        """End the process and the relay."""
        await self.softphone.close()
        if self.relay is not None:
            self.relay.close()
        for task in self._arriving:
            task.cancel()


class Phones:
    """The phones and carriers of one story; an async context manager that hangs up and unregisters all at its end.

    `layout` says where Asterisk is; passwords come from the sandbox's own file.
    """

    def __init__(self, layout: Layout, passwords: Secrets | None = None) -> None:
        self._layout = layout
        self._passwords = passwords or load_secrets(layout)
        self._stations: dict[str, Station] = {}
        self._carriers: dict[str, Carrier] = {}
        self._tones = iter(FREQUENCIES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def register(self, extension: str, *, name: str | None = None) -> Phone:
        """A phone registered for `extension`; call it twice for two phones on one extension.

        Raises `PhoneError` if the PBX refuses the registration.
        """
        hertz = self._next_tone()
        station = await self._station("phones", self._pbx)
        answer = await station.softphone.request(
            "account",
            user=extension,
            domain=self._pbx,
            password=self._passwords.phones.get(extension, ""),
            register=True,
            hertz=hertz,
        )
        phone = Phone(extension, name or f"phone {extension}", hertz, station, int(answer["account"]))
        station.lines[phone._handle] = phone
        return phone

    async def carrier(self, trunk: str = "carrier") -> Carrier:
        """The carrier of a trunk (`carrier` or `backup`), up from now on until the story ends."""
        if trunk not in self._carriers:
            address = self._layout.addresses.carriers[trunk]
            station = await self._station(trunk, f"{address}:{CARRIER_PORT}")
            host = self._layout.addresses.host
            station.relay = await Relay.open(
                (address, CARRIER_PORT),
                (host, self._layout.addresses.sip),
                (host, station.softphone.sip_port),
            )
            await station.softphone.request("account", user="switch", domain=address, catchall=True, hertz=0.0)
            self._carriers[trunk] = Carrier(trunk, address, station, self._next_tone)
        return self._carriers[trunk]

    async def close(self) -> None:
        """Hang up, unregister and end everything."""
        stations, self._stations = list(self._stations.values()), {}
        await asyncio.gather(*(station.close() for station in stations))

    @property
    def _pbx(self) -> str:
        return f"{self._layout.addresses.host}:{self._layout.addresses.sip}"

    def _next_tone(self) -> float:
        try:
            return next(self._tones)
        except StopIteration:
            raise PhoneError(f"a story has at most {len(FREQUENCIES)} phones and numbers, one tone each") from None

    async def _station(self, name: str, dial_domain: str) -> Station:
        if name not in self._stations:
            station = Station(dial_domain)
            station.softphone = await SoftphoneProcess.start(station.on_event, station.on_death)
            self._stations[name] = station
        return self._stations[name]


__all__ = ["Carrier", "IncomingCall", "Line", "OutgoingCall", "OutsideNumber", "Phone", "PhoneCall", "Phones"]
