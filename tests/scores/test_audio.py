"""Sound: pitch, length and level."""

import io
import wave

import numpy as np
import pytest

from notagen.scores.audio import RATE, mp3, samples, wav
from tests.helpers.music21_scores import one_voice


@pytest.mark.parametrize(("music", "hertz"), [("A8", 440), ("A,8", 220), ("a8", 880)])
def test_pitch(music: str, hertz: float) -> None:
    sound, rate = samples(one_voice(music))
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum) * rate / len(sound) == pytest.approx(hertz, rel=0.01)


def test_tempo_and_rests() -> None:
    sound, rate = samples(one_voice("A2 z2 A2 z2"))  # quarters of 0.6 s
    loud = [float(np.abs(sound[int(t * rate) :][: rate // 10]).max()) for t in (0.2, 0.9, 1.4)]
    assert loud[0] > 0.1
    assert loud[1] == 0
    assert loud[2] > 0.1


def test_a_tie_is_one_note() -> None:
    tied, _ = samples(one_voice("A4- A4"))
    struck, _ = samples(one_voice("A4 A4"))
    middle = slice(int(1.25 * RATE), int(1.3 * RATE))
    assert np.abs(tied[middle]).max() < np.abs(struck[middle]).max() * 0.7


def test_level_and_type() -> None:
    sound, _ = samples(one_voice("[CEGc]8"))
    assert sound.dtype == np.float32
    assert np.abs(sound).max() == pytest.approx(0.8)


def test_silence() -> None:
    sound, _ = samples(one_voice("z8"))
    assert not sound.any()


def test_half_an_hour_is_enough() -> None:
    minutes = " | ".join(["A z7", *["z8"] * 35, "A8"])
    sound, rate = samples(one_voice(f"[Q:1/4=4] {minutes}"))
    assert len(sound) / rate <= 1801


def test_wav() -> None:
    tune = one_voice("A2 B2 c2 d2")
    with wave.open(io.BytesIO(wav(tune))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        assert file.getnframes() == len(samples(tune)[0])


def test_mp3() -> None:
    pytest.importorskip("lameenc")
    file = mp3(one_voice("A2 B2 c2 d2"))
    assert file[0] == 0xFF, "an MPEG frame"
    assert file[1] & 0xE0 == 0xE0
    seconds = len(samples(one_voice("A2 B2 c2 d2"))[0]) / RATE
    assert len(file) == pytest.approx(seconds * 64_000 / 8, rel=0.2)
