"""Notes as sound, for ears and for players that know no MIDI."""

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

# Samples a second, and harmonics of each tone.
RATE, HARMONICS = 22_050, 6
# Seconds until a tone is at its loudest, and after its end until it is silent.
ATTACK, RELEASE = 0.02, 0.15
# A tone held so long is a third as loud as at its beginning.
FADE = 2.0

# Start and end in seconds, and MIDI's number of the pitch.
Note = tuple[float, float, int]


def synthesize(notes: Iterable[Note]) -> np.ndarray:
    """Notes as an organ of a few harmonics would play them.

    Args:
        notes: Start and end in seconds, and pitches, 69 being 440 Hz.

    Returns:
        Samples, int16, `(n,)`, at `RATE`; as loud as can be, or silence.
    """
    notes = list(notes)
    seconds = max((end for _, end, _ in notes), default=0.0) + RELEASE
    sound = np.zeros(round(seconds * RATE) + 1)
    for start, end, pitch in notes:
        first = round(start * RATE)
        time = np.arange(round((end - start + RELEASE) * RATE)) / RATE
        time = time[: len(sound) - first]
        frequency = 440.0 * 2.0 ** ((pitch - 69) / 12)
        tone = sum(
            np.sin(2.0 * np.pi * k * frequency * time) / k**2
            for k in range(1, HARMONICS + 1)
            if k * frequency < RATE / 2  # what is higher would fold back
        )
        edges = (0.0, ATTACK, end - start, end - start + RELEASE)
        shape = np.interp(time, edges, (0.0, 1.0, 1.0, 0.0))
        sound[first : first + len(time)] += tone * shape * np.exp(-time / FADE)
    loudest = np.abs(sound).max()
    return np.round(sound / (loudest or 1.0) * 32_767).astype("int16")


def write_wave(sound: np.ndarray, path: Path) -> None:
    """Samples, int16, `(n,)`, as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.astype("<i2").tobytes())
