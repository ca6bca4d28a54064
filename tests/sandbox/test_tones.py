"""Who is heard: tones told apart, from each other, from silence and from speech."""

import random
from array import array
from itertools import pairwise

import pytest

from comunik_pbx.sandbox.tones import FREQUENCIES, TOLERANCE_HZ, Kind, measure, tone

RATE = 8000
WINDOW = 800


def samples(pcm: bytes) -> "array[int]":
    return array("h", pcm)


@pytest.mark.parametrize("hertz", FREQUENCIES)
def test_every_phones_tone_is_measured(hertz: float) -> None:
    heard = measure(samples(tone(hertz, RATE, 12345, WINDOW)), RATE)
    assert heard.kind is Kind.TONE
    assert abs(heard.hertz - hertz) < TOLERANCE_HZ / 3


def test_tones_are_further_apart_than_the_tolerance() -> None:
    gaps = [b - a for a, b in pairwise(FREQUENCIES)]
    assert min(gaps) > 2 * TOLERANCE_HZ
    assert len(FREQUENCIES) >= 40


def test_silence() -> None:
    assert measure(array("h", [0] * WINDOW), RATE).kind is Kind.SILENCE
    assert measure(array("h"), RATE).kind is Kind.SILENCE


def test_two_tones_at_once_are_no_tone() -> None:
    both = array(
        "h",
        (
            a // 2 + b // 2
            for a, b in zip(samples(tone(600, RATE, 0, WINDOW)), samples(tone(920, RATE, 0, WINDOW)), strict=True)
        ),
    )
    assert measure(both, RATE).kind is Kind.SOUND


def test_noise_is_no_tone() -> None:
    rng = random.Random(1)
    assert measure(array("h", (rng.randint(-8000, 8000) for _ in range(WINDOW))), RATE).kind is Kind.SOUND
