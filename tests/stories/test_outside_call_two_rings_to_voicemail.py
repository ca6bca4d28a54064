"""An outside call rings Alice twice, then leaves a message: it is recorded and her lamp is lit."""

import wave
from array import array
from pathlib import Path

from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.sandbox.tones import TOLERANCE_HZ, Kind, measure
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, Company, rang_seconds, told

pytestmark = PBX


async def test_outside_call_two_rings_to_voicemail(company: Company, phones: Phones, sandbox: Sandbox) -> None:
    inbox = sandbox.layout.var / "spool/voicemail/default/101/INBOX"
    await forget_messages(sandbox, inbox)  # of a run that was interrupted
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "external", "voicemail", rings=2)

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await call.ringing()
    await call.answered(within=2 * CYCLE_SECONDS + 3)
    await at_desk.ended()
    assert 1.5 * CYCLE_SECONDS < rang_seconds(at_desk) <= 2 * CYCLE_SECONDS, "two rings, and no third"
    assert call.statuses == [180, 200]
    await call.hears_speech()
    await call.press("#")
    await call.hears_beep()
    await call.talks(2)
    await call.hangup()
    await call.ended()

    await alice.lamp(lit=True)
    assert [path.name for path in inbox.glob("*.wav")] == ["msg0000.wav"]
    assert seconds_of_tone(inbox / "msg0000.wav", customer.hertz) > 1
    assert CUSTOMER in (inbox / "msg0000.txt").read_text()
    record = await company.record()
    assert told(record) == "external live: ring 101 NOANSWER/19, voicemail 101@default VOICEMAIL/16 -> voicemail"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")

    await forget_messages(sandbox, inbox)
    await alice.lamp(lit=False)


async def forget_messages(sandbox: Sandbox, inbox: Path) -> None:
    """Leave the mailbox empty and its lamp dark, as Alice would by deleting her messages."""
    for message in inbox.glob("msg*"):
        message.unlink()
    await sandbox.console("voicemail reload")  # which counts the messages of every box, and tells the phones


def seconds_of_tone(recording: Path, hertz: float) -> float:
    """For how long a pure tone is heard in a recording."""
    with wave.open(str(recording)) as sound:
        rate = sound.getframerate()
        samples = array("h", sound.readframes(sound.getnframes()))
    window = rate // 10
    heard = [measure(samples[at : at + window], rate) for at in range(0, len(samples) - window, window)]
    return sum(w.kind is Kind.TONE and abs(w.hertz - hertz) <= TOLERANCE_HZ for w in heard) / 10
