"""A call as one phone lives it: what it sends, what it is answered, whom it hears. Made by `phones`."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comunik_pbx.sandbox.errors import NotHeard, PhoneError
from comunik_pbx.sandbox.sip_message import SipMessage
from comunik_pbx.sandbox.softphone_process import Event, SoftphoneProcess
from comunik_pbx.sandbox.tones import BEEP_HZ, RINGBACK_HZ, TOLERANCE_HZ, WINDOW_SECONDS, Heard, Kind

if TYPE_CHECKING:
    from comunik_pbx.sandbox.phones import Line

NOT_ANSWERS = (100, 401, 407)  # trying, and the digest challenges: no news for a story
HEARD_SECONDS = 10.0
HEARD_WINDOWS = 3  # in a row, 0.3 s: a tone that is there, not a click
SPEECH_WINDOWS = 4  # of the last 10
ENDS_SECONDS = 10.0
TRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Ending:
    """How a call ended. `at` in seconds since the epoch; `text` is the SIP stack's own word.

    `status` and `reason` are the final answer if the INVITE was refused, else None and "".
    `cause` is the Q.850 cause the other side sent (Reason header of BYE, CANCEL or the refusal), or None.
    `by_far_end` says who hung up; for a call never answered, that the other side gave up or refused.
    """

    at: float
    text: str
    status: int | None
    reason: str
    cause: int | None
    by_far_end: bool


class PhoneCall:
    """One call of one phone, either direction."""

    def __init__(self, line: "Line", handle: int, call_id: str, softphone: SoftphoneProcess, started: float) -> None:
        self.line = line
        self.handle = handle
        self.call_id = call_id
        self.started = started
        self.established_at: float | None = None
        self._closed: tuple[float, str] | None = None
        self.messages: list[SipMessage] = []
        self.digits = ""
        self._softphone = softphone
        self._windows: deque[Heard] = deque(maxlen=10)
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<call of {self.line.name}: {self._story()}>"

    # What the wire says

    @property
    def invite(self) -> SipMessage:
        """The INVITE of this call; the last one sent (with credentials) or the first one received."""
        invites = [m for m in self.messages if m.method == "INVITE" and m.sent is isinstance(self, OutgoingCall)]
        if not invites:
            raise PhoneError(f"no INVITE of this call was seen ({self!r})")
        return invites[-1] if isinstance(self, OutgoingCall) else invites[0]

    @property
    def statuses(self) -> list[int]:
        """Statuses of the answers to the INVITE, in order, without repetitions in a row and without 100, 401, 407."""
        seen: list[int] = []
        for message in self._answers():
            if message.status and (not seen or seen[-1] != message.status):
                seen.append(message.status)
        return seen

    def header(self, name: str) -> str | None:
        """A header of the INVITE, such as `Diversion`; None if it has none."""
        return self.invite.header(name)

    @property
    def ending(self) -> Ending | None:
        """How the call ended; None while it goes on."""
        if self._closed is None:
            return None
        final = next((m for m in reversed(self._answers()) if m.status and m.status >= 300), None)
        partings = [m for m in self.messages if m.method in ("BYE", "CANCEL")]
        ours = any(m.sent for m in partings) or (final is not None and final.sent and not partings)
        if final is not None and any(m.method == "CANCEL" for m in partings):
            final = None  # 487 is the answer to the CANCEL's INVITE, no refusal (RFC 3261 9.1)
        words = [m for m in [*partings, *([final] if final else [])] if not m.sent and m.cause is not None]
        return Ending(
            self._closed[0],
            self._closed[1],
            final.status if final else None,
            final.reason if final else "",
            words[0].cause if words else None,
            not ours,
        )

    @property
    def is_established(self) -> bool:
        """Answered and not ended yet."""
        return self.established_at is not None and self._closed is None

    # What one does

    async def hangup(self) -> None:
        """Hang up: BYE if answered, CANCEL if calling, 486 if ringing. No error if the call has just ended."""
        if self._closed is None:
            await self._do("hangup")

    async def hold(self) -> None:
        """Put the other side on hold (re-INVITE)."""
        await self._do("hold")

    async def resume(self) -> None:
        """Take it off hold."""
        await self._do("resume")

    async def press(self, digits: str) -> None:
        """Send DTMF (RFC 4733)."""
        await self._do("press", digits=digits)

    async def transfer(self, number: str) -> None:
        """Transfer the other side blindly to `number` (REFER)."""
        await self._do("transfer", uri=f"sip:{number}@{self.line._station.dial_domain}")

    async def hand_over(self, to: "PhoneCall") -> None:
        """Connect the other side to that of another call of this phone (REFER with Replaces, RFC 3891)."""
        await self._do("hand_over", to=to.handle)

    async def talks(self, seconds: float) -> None:
        """Let time pass while this phone says its tone; raises `NotHeard` if the call ends meanwhile."""
        with suppress(NotHeard):
            await self._until(lambda: self._closed is not None, seconds, "")
        if self._closed is not None:
            raise NotHeard(f"{self.line.name} could not talk for {seconds:g} s: {self._story()}")

    # What one waits for

    async def ended(self, within: float = ENDS_SECONDS) -> Ending:
        """How the call ended, once it has; raises `NotHeard` if it still goes on after `within` seconds."""
        await self._until(lambda: self._closed is not None, within, "did not end")
        ending = self.ending
        assert ending is not None  # noqa: S101
        return ending

    async def is_told_of(self, user: str, within: float = ENDS_SECONDS) -> None:
        """Wait until the PBX asserts `user` as the other side: the last P-Asserted-Identity received (RFC 3325)."""

        def told() -> str | None:
            users = (message.user_of("P-Asserted-Identity") for message in reversed(self.messages) if not message.sent)
            return next((found for found in users if found), None)

        await self._until(lambda: told() == user, within, f"was not told of {user}")

    async def hears(self, whom: "Line", within: float = HEARD_SECONDS) -> None:
        """Wait until the tone of `whom` arrives, at least 0.3 s in a row, all of it from now on."""
        await self.hears_tone(whom.hertz, within, whom.name)

    async def hears_tone(self, hertz: float, within: float = HEARD_SECONDS, name: str = "") -> None:
        """Wait until a pure tone of `hertz` arrives, at least 0.3 s in a row, all of it from now on."""
        self._windows.clear()

        def there() -> bool:
            last = list(self._windows)[-HEARD_WINDOWS:]
            return len(last) == HEARD_WINDOWS and all(
                w.kind is Kind.TONE and abs(w.hertz - hertz) <= TOLERANCE_HZ for w in last
            )

        await self._until(there, within, f"did not hear {name or 'a tone'} ({hertz:g} Hz)")

    async def hears_ringback(self, within: float = 6.0) -> None:
        """Wait for France's ringing tone, 440 Hz, as early media (with a bare 180 the phone itself would make it)."""
        await self.hears_tone(RINGBACK_HZ, within, "the ringing tone")

    async def hears_beep(self, within: float = 20.0) -> None:
        """Wait for the beep after which voicemail records (0.4 s); `press("#")` skips the greeting before it."""
        self._windows.clear()

        def there() -> bool:
            return any(w.kind is Kind.TONE and abs(w.hertz - BEEP_HZ) <= TOLERANCE_HZ for w in self._windows)

        await self._until(there, within, "did not hear the beep")

    async def hears_speech(self, within: float = 8.0) -> None:
        """Wait for a voice, such as the voicemail greeting: sound that is no pure tone, 0.4 s within one second."""
        self._windows.clear()
        await self._until(
            lambda: sum(w.kind is Kind.SOUND for w in self._windows) >= SPEECH_WINDOWS,
            within,
            "heard no voice",
        )

    async def hears_nothing(self, seconds: float = 1.0) -> None:
        """Make sure nothing is heard for `seconds`; raises `NotHeard` at once if something is."""
        self._windows.clear()
        try:
            await self._until(lambda: any(w.kind is not Kind.SILENCE for w in self._windows), seconds, "")
        except NotHeard:
            return
        raise NotHeard(f"{self.line.name} should hear nothing, and hears {self._sounds()}")

    async def hears_music(self, within: float = 8.0) -> None:
        """Wait for sound that is no tone, for a second: music on hold."""
        await self.hears_speech(within)

    async def receives_digits(self, digits: str, within: float = 10.0) -> None:
        """Wait until the other side has pressed `digits`."""
        await self._until(lambda: digits in self.digits, within, f"did not receive the digits {digits}")

    # Events

    def on_message(self, message: SipMessage) -> None:
        """A SIP message of this call went by."""
        self.messages.append(message)
        self._changed.set()

    def on_event(self, event: Event) -> None:
        """The softphone says what happened to this call."""
        match event["event"]:
            case "established":
                self.established_at = event["at"]
            case "closed" if self._closed is None:
                self._closed = (event["at"], event.get("text") or "")
            case "dtmf":
                self.digits += event["text"] or ""
            case "heard":
                self._windows.append(Heard(Kind(event["kind"]), event["level"], event["hertz"]))
        self._changed.set()

    def _answers(self) -> list[SipMessage]:
        """The answers to our INVITE, or for an incoming call our own answers, re-INVITEs left out."""
        received = isinstance(self, OutgoingCall)
        answers: list[SipMessage] = []
        for message in self.messages:
            if message.status and message.for_method == "INVITE" and message.sent is not received:
                if message.status not in NOT_ANSWERS:
                    answers.append(message)
                if 200 <= message.status < 300:
                    break
        return answers

    async def _do(self, do: str, **values: str | int) -> None:
        try:
            await self._softphone.request(do, call=self.handle, **values)
        except PhoneError:
            if do == "hangup" or self._closed is not None:  # both sides hung up at the same time
                return
            raise

    async def _until(self, true: Callable[[], bool], within: float, otherwise: str) -> None:
        try:
            async with asyncio.timeout(within):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise NotHeard(f"{self.line.name} {otherwise} within {within:g} s: {self._story()}") from None

    def _story(self) -> str:
        parts = [f"answers {self.statuses or 'none'}"]
        if self.established_at:
            parts.append("answered")
        if self._closed:
            parts.append(f"ended ({self._closed[1]})")
        parts.append(f"hears {self._sounds()}")
        return ", ".join(parts)

    def _sounds(self) -> str:
        heard: list[str] = []
        for window in self._windows:
            word = f"{window.hertz:.0f} Hz" if window.kind is Kind.TONE else str(window.kind)
            if not heard or heard[-1] != word:
                heard.append(word)
        return ", ".join(heard) or f"nothing (no audio in the last {10 * WINDOW_SECONDS:g} s)"


class OutgoingCall(PhoneCall):
    """A call this phone made."""

    async def ringing(self, within: float = ENDS_SECONDS) -> SipMessage:
        """Wait for 180 Ringing and return it."""
        return await self.receives(180, within)

    async def progress(self, within: float = ENDS_SECONDS) -> SipMessage:
        """Wait for 183 Session Progress (early media) and return it."""
        return await self.receives(183, within)

    async def receives(self, status: int, within: float = ENDS_SECONDS) -> SipMessage:
        """Wait for an answer with this status and return the message (its `at` is when it came)."""

        def found() -> SipMessage | None:
            return next((m for m in self._answers() if m.status == status), None)

        await self._until(lambda: found() is not None or self._closed is not None, within, f"did not receive {status}")
        message = found()
        if message is None:
            raise NotHeard(f"{self.line.name} did not receive {status}: {self._story()}")
        return message

    async def answered(self, within: float = ENDS_SECONDS) -> None:
        """Wait until the call is answered and has audio; raises `NotHeard` at once if it ends instead."""
        await self._until(
            lambda: self.established_at is not None or self._closed is not None, within, "was not answered"
        )
        if self.established_at is None:
            raise NotHeard(f"the call of {self.line.name} was not answered: {self._story()}")

    async def refused(self, within: float = ENDS_SECONDS) -> Ending:
        """Wait for the final refusal; raises `NotHeard` if the call is answered or goes on."""
        await self.ended(within)
        with suppress(NotHeard):  # the SIP trace is told by another thread than the end, and may be behind it
            await self._until(lambda: self.ending is not None and self.ending.status is not None, TRACE_SECONDS, "")
        ending = await self.ended(0)
        if ending.status is None:
            raise NotHeard(f"the call of {self.line.name} was not refused: {self._story()}")
        return ending


class IncomingCall(PhoneCall):
    """A call that came to this phone."""

    @property
    def caller(self) -> str | None:
        """The user part of From: whom the phone shows, `anonymous` for a withheld number."""
        return self.invite.user_of("From")

    @property
    def called(self) -> str:
        """The extension or number the PBX dialled (a registered phone's contact is `101-<random>`)."""
        return self.invite.uri_user.partition("-")[0]

    @property
    def diversion(self) -> tuple[str, str] | None:
        """(user, reason) of the topmost Diversion header (RFC 5806), such as ("101", "no-answer"), or None."""
        header = self.header("Diversion")
        if header is None:
            return None
        reason = next((p.split("=", 1)[1] for p in header.split(";") if p.strip().startswith("reason=")), "")
        return self.invite.user_of("Diversion") or "", reason.strip('" ')

    async def answer(self, within: float = ENDS_SECONDS) -> None:
        """Answer and wait until the call is established; raises `NotHeard` if the caller is gone."""
        await self._do("answer")
        await self._until(
            lambda: self.established_at is not None or self._closed is not None, within, "could not answer"
        )
        if self.established_at is None:
            raise NotHeard(f"{self.line.name} answered too late: {self._story()}")

    async def reject(self) -> None:
        """Refuse with 486 Busy Here (other answers: `sipp`)."""
        await self._do("reject")
