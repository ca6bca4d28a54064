"""Who is heard: every phone says one pure tone, and the other side measures what arrives.

Samples are signed 16-bit mono at `rate` Hz. A window is 100 ms.
"""

import math
from array import array
from dataclasses import dataclass
from enum import StrEnum

WINDOW_SECONDS = 0.1
AMPLITUDE = 8000  # of 32767: loud enough to be told from companding noise (ITU-T G.711), far from clipping
SILENCE_RMS = 60.0
PURE = 0.8  # share of the window's energy in one frequency from which it is a tone and not speech
TOLERANCE_HZ = 12.0

# France's call progress tones are 440 Hz; the beep of Asterisk's voices was measured. Phones keep away from them.
RINGBACK_HZ = 440.0
BEEP_HZ = 700.0
_AVOID = (RINGBACK_HZ, BEEP_HZ, 880.0, 1400.0)
FREQUENCIES = tuple(float(hertz) for hertz in range(520, 3000, 40) if all(abs(hertz - other) > 30 for other in _AVOID))


class Kind(StrEnum):
    """What a window of sound is."""

    SILENCE = "silence"
    TONE = "tone"
    SOUND = "sound"  # speech, music, several tones at once


@dataclass(frozen=True)
class Heard:
    """One window: its kind, its loudness (RMS of the samples), and the frequency in Hz if it is a tone, else 0."""

    kind: Kind
    level: float
    hertz: float = 0.0


def tone(hertz: float, rate: int, start: int, count: int) -> bytes:
    """`count` samples of a sine, continuing at sample number `start`."""
    step = 2 * math.pi * hertz / rate
    return array("h", (int(AMPLITUDE * math.sin(step * n)) for n in range(start, start + count))).tobytes()


def measure(samples: "array[int]", rate: int) -> Heard:
    """Say what one window is."""
    count = len(samples)
    energy = math.fsum(sample * sample for sample in samples)
    level = math.sqrt(energy / count) if count else 0.0
    if level < SILENCE_RMS:
        return Heard(Kind.SILENCE, level)
    hertz = _crossing_frequency(samples, rate)
    if hertz and _power(samples, hertz, rate) >= PURE * energy:
        return Heard(Kind.TONE, level, hertz)
    return Heard(Kind.SOUND, level)


def _crossing_frequency(samples: "array[int]", rate: int) -> float:
    """The frequency of a sine by its upward zero crossings, interpolated; 0 if there are fewer than three."""
    crossings = [
        n - 1 + samples[n - 1] / (samples[n - 1] - samples[n])
        for n in range(1, len(samples))
        if samples[n - 1] < 0 <= samples[n]
    ]
    if len(crossings) < 3:
        return 0.0
    return (len(crossings) - 1) * rate / (crossings[-1] - crossings[0])


def _power(samples: "array[int]", hertz: float, rate: int) -> float:
    """The energy in `hertz`, by Goertzel's algorithm, on the scale of the sum of squares."""
    coefficient = 2 * math.cos(2 * math.pi * hertz / rate)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    return (last * last + before * before - coefficient * last * before) * 2 / len(samples)
