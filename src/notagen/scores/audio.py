"""Additive synthesis of a tune, as WAV or MP3, for notebooks and TensorBoard."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray

from notagen.errors import ScoreError
from notagen.notation import Tune
from notagen.scores.performance import perform

RATE = 22_050  # samples per second
_HARMONICS = (1.0, 0.5, 0.3, 0.15, 0.1, 0.05)  # loudness of the fundamental and its overtones
_ATTACK, _RELEASE, _FADE = 0.015, 0.12, 1.2  # seconds; the last is the time constant of a held note
_MAX_NOTE = 12 * _FADE  # then a note has faded below one step of 16 bits
_STROKE = 0.25  # seconds of a drum
_PEAK = 0.8
_MAX_SECONDS = 1800  # an untrained model may write music that would fill the memory
_KILOBITS = 64  # per second of MP3


def samples(tune: Tune) -> tuple[NDArray[np.float32], int]:
    """Sound of a tune at its tempo (120 quarters per minute without one), with its repeats.

    Cut off after half an hour.

    Returns:
        float32 samples [n], mono, scaled to a peak of 0.8, and the rate in samples per second.
    """
    performance = perform(tune)
    notes: list[tuple[float, float, float | None]] = []
    for part in performance.parts:
        for one in part.notes:
            onset, end = performance.seconds(one.onset), performance.seconds(one.end)
            if end > onset and onset < _MAX_SECONDS:
                length = min(end - onset, _MAX_NOTE, _MAX_SECONDS - onset)
                notes.append((onset, length, None if part.drums else _frequency(one.pitch)))
    end = max((onset + length for onset, length, _ in notes), default=0.0) + _RELEASE
    mix = np.zeros(int(end * RATE) + 1, dtype=np.float32)
    for onset, length, frequency in notes:
        sound = _drum() if frequency is None else _note(frequency, length)
        start = int(onset * RATE)
        room = mix[start : start + len(sound)]
        room += sound[: len(room)]
    loudest = float(np.abs(mix).max())
    return (mix * (_PEAK / loudest) if loudest else mix), RATE


def wav(tune: Tune) -> bytes:
    """WAV file of a tune: 16 bits, mono."""
    frames, rate = _frames(tune)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(frames)
    return file.getvalue()


def mp3(tune: Tune) -> bytes:
    """MP3 file of a tune: mono, 64 kbit/s.

    Raises:
        ScoreError: (a ValueError) the encoder is not installed.
    """
    try:
        import lameenc
    except ImportError:
        raise ScoreError(
            "MP3 needs an encoder; install it with `pip install notagen[audio]`"
        ) from None
    frames, rate = _frames(tune)
    encoder = lameenc.Encoder()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(rate)
    encoder.set_bit_rate(_KILOBITS)
    encoder.silence()  # no messages of the encoder on stdout
    return bytes(encoder.encode(frames) + encoder.flush())


def _frames(tune: Tune) -> tuple[bytes, int]:
    """Samples as little-endian 16-bit integers, and their rate."""
    sound, rate = samples(tune)
    return (sound * np.iinfo(np.int16).max).astype("<i2").tobytes(), rate


def _frequency(pitch: int) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def _drum() -> NDArray[np.float32]:
    """Samples of a stroke on a drum, float32 [n]: noise that fades at once."""
    time = np.arange(int(_STROKE * RATE), dtype=np.float32) / RATE
    noise = np.random.default_rng(0).uniform(-1, 1, len(time))
    return (noise * np.exp(-8 * time / _STROKE)).astype(np.float32)


def _note(frequency: float, seconds: float) -> NDArray[np.float32]:
    """Samples of one note, float32 [n], with attack, exponential decay and release."""
    time = np.arange(int((seconds + _RELEASE) * RATE), dtype=np.float32) / RATE
    sound = np.zeros_like(time)
    for number, loudness in enumerate(_HARMONICS, start=1):
        if number * frequency < RATE / 2:  # below Nyquist, else it would alias
            sound += loudness * np.sin(2 * np.pi * number * frequency * time)
    attack = np.minimum(time / _ATTACK, 1)
    release = np.clip((seconds + _RELEASE - time) / _RELEASE, 0, 1)
    return (sound * attack * release * np.exp(-time / _FADE)).astype(np.float32)
