"""Music of a few voices that sound together as a modality."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aezoo.errors import ExampleFileError
from aezoo.modalities.base import Modality, Preview
from aezoo.modalities.sound import RATE, synthesize, write_wave
from aezoo.utils.arrays import to_numpy
from aezoo.utils.extras import require
from aezoo.utils.validation import check_count, check_positive_int

Tensor = Any
# In place of a pitch, where a voice is silent.
REST = -1
# Inside models: what no voice ever sings, then a rest, then pitches from the lowest.
NOTHING, REST_SYMBOL, FIRST_PITCH = 0, 1, 2
# Quarters of a bar: the only meter.
QUARTERS = 4
# Of files that are written: quarters a minute, and the sound, a church organ.
TEMPO, PROGRAM = 80, 19
# MIDI's highest pitch, and its channel of drums, from 0.
HIGHEST, DRUMS = 127, 9
# Of files that are written to be heard.
WAVE = ".wav"
# What is read of one file at most.
MAX_BYTES, MAX_STEPS = 10_000_000, 1_000_000
# Of a picture of music: colour of each voice in turn, and pixels of a step and a pitch.
COLOURS = ((255, 196, 64), (232, 96, 96), (96, 208, 160), (96, 144, 255))
STEP_PIXELS, PITCH_PIXELS = 6, 2

# Start, end and pitch, in ticks.
Note = tuple[int, int, int]


class MusicFileError(ExampleFileError):
    """A MIDI file is damaged, or holds what a model cannot take; says what."""


@dataclasses.dataclass(frozen=True)
class Music(Modality):
    """Music of several voices: the pitch that each sings at each step.

    Users pass and get integers `(n, steps, voices)`, MIDI's numbers of pitches, the
    highest voice first, and -1 where a voice is silent. A pitch that stays the same
    from one step to the next is one note that is held: notes that are struck again at
    once are not told from it. Paths of MIDI files are taken in the place of arrays;
    these need `aezoo[music]`.

    Inside models they are symbols, `(batch, steps, voices)`: 1 is a rest, from 2 on
    come the pitches, and 0 is what stands before the beginning.

    Args:
        steps: Steps of an example.
        voices: Voices that sound at once.
        low: Lowest pitch; 60 is the middle C.
        high: Highest pitch.
        steps_per_quarter: Steps of a quarter note; 2 are eighths.
    """

    steps: int = 16
    voices: int = 4
    low: int = 36
    high: int = 81
    steps_per_quarter: int = 2

    kind: ClassVar[str] = "music"
    noun: ClassVar[str] = "piece"
    element: ClassVar[str] = "pitch"
    suffixes: ClassVar[tuple[str, ...]] = (".mid", ".midi")
    outputs: ClassVar[tuple[str, ...]] = (".mid", ".midi", WAVE)
    likelihoods: ClassVar[tuple[str, ...]] = ("autoregressive",)
    errors: ClassVar[tuple[str, ...]] = ("nll",)
    corruptions: ClassVar[tuple[str, ...]] = ("masking",)
    is_continuous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            ValueError: If a number is no whole one of at least 1, or the pitches are
                none of MIDI's, 0 to 127.
        """
        for field in ("steps", "voices", "steps_per_quarter"):
            value = check_positive_int(field, getattr(self, field))
            object.__setattr__(self, field, value)
        for field in ("low", "high"):
            value = check_count(field, getattr(self, field))
            object.__setattr__(self, field, value)
        if not self.low <= self.high <= HIGHEST:
            raise ValueError(
                f"`low` must be at most `high`, and that at most {HIGHEST}. Received: "
                f"low={self.low}, high={self.high}."
            )

    @property
    def num_symbols(self) -> int:
        """Number of symbols, that before the beginning and the rest among them."""
        return FIRST_PITCH + self.high - self.low + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """`(steps, voices)`."""
        return (self.steps, self.voices)

    @property
    def target_dtype(self) -> str:
        """Symbols."""
        return "int32"

    @property
    def is_shown(self) -> bool:
        """Yes, as a piano roll."""
        return True

    # --- Values -------------------------------------------------------------------

    def check(self, x: Any, name: str = "x") -> np.ndarray:
        """Pieces as arrays: int32, `(n, steps, voices)`.

        Args:
            x: Pitches `(n, steps, voices)`, or paths of MIDI files, of which the first
                `steps` steps count.
            name: What to call them in a message.

        Raises:
            ValueError: If shape, dtype or range is wrong, or a file cannot be taken.
            OSError: If a file cannot be read.
        """
        if isinstance(x, str | Path):
            raise ValueError(
                f"`{name}` must be pieces, several of them. Received: one path. For a "
                f"single file pass `[{name}]`."
            )
        if isinstance(x, Sequence) and any(isinstance(i, str | Path) for i in x):
            return self._check_range(np.stack([self._first(path) for path in x]), name)
        try:
            pitches = to_numpy(x)
        except ValueError:  # ragged
            pitches = np.asarray(x, dtype=object)
        if pitches.dtype.kind not in "iu" or pitches.shape[1:] != self.shape:
            hint = ""
            if pitches.shape == self.shape:
                hint = f" For a single piece pass `{name}[None]`."
            raise ValueError(
                f"`{name}` must be pitches, integers (n, {self.steps}, {self.voices}): "
                f"steps, then voices, {REST} where one is silent. Received: dtype="
                f"{pitches.dtype}, shape={pitches.shape}.{hint}"
            )
        if not len(pitches):
            raise ValueError(f"`{name}` is empty. Received: shape={pitches.shape}.")
        return self._check_range(pitches, name)

    def _first(self, path: Any) -> np.ndarray:
        if not isinstance(path, str | Path):
            raise ValueError(
                "Pieces must be all arrays or all paths. Received: "
                f"{type(path).__name__} among paths."
            )
        first: np.ndarray = self.read(Path(path))[0]
        return first

    def _check_range(self, pitches: np.ndarray, name: str) -> np.ndarray:
        is_known = (pitches == REST) | ((pitches >= self.low) & (pitches <= self.high))
        if not is_known.all():
            wrong = int(pitches[~is_known][0])
            raise ValueError(
                f"`{name}` must hold pitches from {self.low} to {self.high}, or {REST} "
                f"where a voice is silent. Received: {wrong}."
            )
        return np.ascontiguousarray(pitches, "int32")

    def is_single(self, x: Any) -> bool:
        """Whether it is one path, or the pitches of one piece."""
        return isinstance(x, str | Path) or np.shape(x) == self.shape

    def is_valid(self, x: Tensor) -> Tensor:
        """Whether pieces hold what `check` allows, in a graph; bools `(batch,)`."""
        from keras import ops

        x = ops.cast(x, "int32")
        within = ops.logical_and(x >= self.low, x <= self.high)
        return ops.all(ops.logical_or(within, x == REST), axis=(1, 2))

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:  # noqa: ARG002
        """Symbols, int32 `(batch, steps, voices)`."""
        from keras import ops

        pitches = ops.cast(x, "int32")
        return ops.where(pitches == REST, REST_SYMBOL, pitches - self.low + FIRST_PITCH)

    def from_model(self, x: Tensor, like: str = "int32") -> Tensor:  # noqa: ARG002
        """Pitches of symbols."""
        from keras import ops

        symbols = ops.cast(x, "int32")
        pitches = symbols - FIRST_PITCH + self.low
        return ops.where(symbols < FIRST_PITCH, REST, pitches)

    def corrupt(self, x: Tensor, kind: str, level: float, seed: Any) -> Tensor:  # noqa: ARG002
        """Each voice rests at a step with probability `level`."""
        from keras import ops

        from aezoo.nn.distributions import uniform

        is_hidden = ops.logical_and(uniform(ops.shape(x), seed) < level, x >= 0)
        return ops.where(is_hidden, REST_SYMBOL, x)

    # --- Files --------------------------------------------------------------------

    def read(self, path: Path, **options: Any) -> tuple[np.ndarray, str | None]:
        """The first piece of a file, and what was changed."""
        pieces, note = self.read_many(str(path), **options)
        if len(pieces) > 1:
            first = f"the first {self.steps} of {len(pieces) * self.steps} steps"
            note = first if note is None else f"{first}; {note}"
        return pieces[0], note

    def read_many(self, source: str, **_: Any) -> tuple[np.ndarray, str | None]:
        """Pieces of a MIDI file, one after the other; what is left at its end is not.

        Each track and channel is a voice, if none of them sounds two notes at once;
        else the notes of a step are, from the highest down. Notes begin and end at the
        nearest step, and fill one at least.

        Args:
            source: Path of a file that ends in .mid or .midi.
            **_: None.

        Returns:
            Pieces `(n, steps, voices)`, and a remark on what was changed, or None.

        Raises:
            MusicFileError: If the file is damaged, is in another meter than 4/4, has
                drums or more voices, or a pitch out of range.
            MissingDependencyError: If `aezoo[music]` is not installed.
            OSError: If it cannot be read.
        """
        path = Path(source)
        parts, ticks = _read_parts(path)
        step = ticks / self.steps_per_quarter
        end = max(end for part in parts for _, end, _ in part)
        count = max(1, round(end / step))
        if count > MAX_STEPS:
            raise MusicFileError(
                f"{path} is too long: {count:,} steps, of at most {MAX_STEPS:,}."
            )
        is_voice = len(parts) <= self.voices and not any(map(_overlaps, parts))
        if is_voice:
            parts = sorted(parts, key=lambda part: -np.mean([n[2] for n in part]))
            found = np.full((count, self.voices), REST, "int32")
            for voice, part in enumerate(parts):
                for first, last, pitch in _on_grid(part, step):
                    found[first:last, voice] = pitch
        else:
            notes = _on_grid(itertools.chain.from_iterable(parts), step)
            found = self._from_chords(notes, count, path)
        moved = sum(round(n[0] / step) * step != n[0] for part in parts for n in part)
        notes_ = [f"{moved} notes moved to the nearest step"] if moved else []
        if len(found) < self.steps:
            notes_.append(f"{self.steps - len(found)} steps of rest added at the end")
            missing = ((0, self.steps - len(found)), (0, 0))
            found = np.pad(found, missing, constant_values=REST)
        rest = len(found) % self.steps
        if rest:
            notes_.append(f"the last {rest} steps, less than a piece, left out")
        pieces = found[: len(found) - rest].reshape(-1, *self.shape)
        return self._check_file(pieces, path), "; ".join(notes_) or None

    def _from_chords(self, notes: Iterable[Note], count: int, path: Path) -> np.ndarray:
        sounding: list[set[int]] = [set() for _ in range(count)]
        for first, last, pitch in notes:
            for at in range(first, min(last, count)):
                sounding[at].add(pitch)
        most = max(map(len, sounding))
        if most > self.voices:
            raise MusicFileError(
                f"{path} has too many voices: at most {self.voices} notes at once. "
                f"Received: {most}."
            )
        found = np.full((count, self.voices), REST, "int32")
        for at, pitches in enumerate(sounding):
            found[at, : len(pitches)] = sorted(pitches, reverse=True)
        return found

    def _check_file(self, pieces: np.ndarray, path: Path) -> np.ndarray:
        try:
            return self._check_range(pieces, str(path))
        except ValueError as error:
            raise MusicFileError(f"{error} Transpose the music.") from None

    def _in_a_row(self, x: np.ndarray) -> np.ndarray:
        """Pieces one after the other, a bar of silence between them; `(m, voices)`."""
        silence = np.full((QUARTERS * self.steps_per_quarter, self.voices), REST)
        pieces = list(self.check(x))
        steps = [pieces[0]]
        for piece in pieces[1:]:
            steps += [silence, piece]
        return np.concatenate(steps)

    def sound(self, x: np.ndarray) -> tuple[int, np.ndarray]:
        """Pieces as a small organ plays them, a bar of silence between them."""
        pitches = self._in_a_row(x)
        step = 60.0 / (TEMPO * self.steps_per_quarter)
        notes = (
            (first * step, last * step, pitch)
            for voice in pitches.T
            for first, last, pitch in _notes_of(voice)
        )
        return RATE, synthesize(notes)

    def write(self, x: np.ndarray, path: Path) -> None:
        """One piece as a MIDI file of a track for each voice, or as a WAV file."""
        self.write_many(np.asarray(x)[None], path)

    def write_many(self, x: np.ndarray, path: Path) -> None:
        """Pieces as one file, one after the other, a bar of silence between them.

        Args:
            x: Pieces, `(n, steps, voices)`.
            path: The file: a WAV file if it is named `.wav`, else a MIDI file.

        Raises:
            MissingDependencyError: If `aezoo[music]`, which MIDI files need, is not
                installed.
        """
        if path.suffix.lower() == WAVE:
            write_wave(self.sound(x)[1], path)
            return
        mido = _mido("Writing MIDI files")
        pitches = self._in_a_row(x)
        file = mido.MidiFile(type=1, ticks_per_beat=480)
        step = file.ticks_per_beat // self.steps_per_quarter
        head = mido.MidiTrack()
        head.append(mido.MetaMessage("time_signature", numerator=QUARTERS))
        head.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO)))
        file.tracks.append(head)
        for voice in range(self.voices):
            channel = voice + (voice >= DRUMS)
            track = mido.MidiTrack()
            track.append(
                mido.Message("program_change", program=PROGRAM, channel=channel % 16)
            )
            at = 0
            for first, last, pitch in _notes_of(pitches[:, voice]):
                for kind, time in (("note_on", first), ("note_off", last)):
                    message = mido.Message(
                        kind,
                        note=pitch,
                        velocity=64,
                        channel=channel % 16,
                        time=(time - at) * step,
                    )
                    track.append(message)
                    at = time
            file.tracks.append(track)
        file.save(path)

    # --- Pictures -----------------------------------------------------------------

    def _rolls(self, x: np.ndarray) -> np.ndarray:
        """Piano rolls, time to the right, uint8 `(n, height, width, 3)`."""
        x = np.asarray(x)
        height = self.high - self.low + 1
        rolls = np.full((len(x), height, self.steps, 3), 24, "uint8")
        for voice in reversed(range(self.voices)):
            pitches = x[:, :, voice]
            rows, steps = np.nonzero(pitches != REST)
            colour = np.array(COLOURS[voice % len(COLOURS)])
            rolls[rows, self.high - pitches[rows, steps], steps] = colour
        return rolls.repeat(PITCH_PIXELS, axis=1).repeat(STEP_PIXELS, axis=2)

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """Piano rolls: time to the right, pitch upwards, a colour for each voice."""
        from aezoo.modalities.image.files import grid_image

        return Preview(picture=grid_image(self._rolls(x), columns))

    def sheet(self, x: np.ndarray, columns: int, height: int) -> np.ndarray:
        """Piano rolls side by side."""
        from aezoo.modalities.image import Image

        rolls = self._rolls(x)
        return Image(*rolls.shape[1:]).sheet(rolls, columns, height)

    def difference(self, x: np.ndarray, x_hat: np.ndarray) -> str:
        """How many notes begin where they should, at the right pitch."""
        is_note = onsets(x)
        right = np.count_nonzero(is_note & onsets(x_hat) & (x == x_hat))
        return f"{right} of {np.count_nonzero(is_note)} notes are right"

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Voices that hold notes or move by a step or two, each where it belongs."""
        generator = np.random.default_rng(seed)
        homes = np.linspace(self.high, self.low, self.voices + 2)[1:-1]
        pieces = np.empty((n, *self.shape), "int32")
        for piece in pieces:
            pitches = np.round(homes).astype("int32")
            for step in piece:
                moves = generator.integers(-2, 3, self.voices)
                is_held = generator.random(self.voices) < 0.6
                pitches = np.where(is_held, pitches, pitches + moves)
                pitches = np.clip(pitches, self.low, self.high)
                is_silent = generator.random(self.voices) < 0.03
                step[:] = np.where(is_silent, REST, pitches)
        return pieces


def onsets(x: np.ndarray) -> np.ndarray:
    """Where a note begins: a pitch that is not the one of the step before.

    Args:
        x: Pitches, `(..., steps, voices)`.
    """
    x = np.asarray(x)
    is_new = np.ones(x.shape, bool)
    is_new[..., 1:, :] = x[..., 1:, :] != x[..., :-1, :]
    return is_new & (x != REST)


def _notes_of(pitches: np.ndarray) -> Iterable[Note]:
    """Notes of one voice, first and last step and pitch."""
    at = 0
    for pitch, group in itertools.groupby(pitches.tolist()):
        length = len(list(group))
        if pitch != REST:
            yield at, at + length, pitch
        at += length


def _on_grid(notes: Iterable[Note], step: float) -> Iterable[Note]:
    """Notes in steps, each of one step at least."""
    for start, end, pitch in notes:
        first = round(start / step)
        yield first, max(first + 1, round(end / step)), pitch


def _overlaps(part: Sequence[Note]) -> bool:
    """Whether two notes of a part sound at once."""
    ordered = sorted(part)
    return any(a[1] > b[0] for a, b in itertools.pairwise(ordered))


def _mido(purpose: str) -> Any:
    return require("mido", "music", purpose)


def _read_parts(path: Path) -> tuple[list[list[Note]], int]:
    """Notes of each track and channel that has some, and ticks of a quarter.

    Raises:
        MusicFileError: If the file is damaged, or holds what no model takes.
    """
    mido = _mido("Reading MIDI files")
    if path.stat().st_size > MAX_BYTES:
        raise MusicFileError(
            f"{path} is too large for a MIDI file: at most {MAX_BYTES:,} bytes."
        )
    try:
        file = mido.MidiFile(path)
    except Exception as error:  # mido raises whatever the damage makes of it
        reason = str(error) or "it ends early"
        raise MusicFileError(
            f"{path} is no MIDI file, or a damaged one: {reason}."
        ) from error
    if file.type == 2:
        raise MusicFileError(f"{path} holds several songs (MIDI type 2); split it.")
    if file.ticks_per_beat <= 0:
        raise MusicFileError(
            f"{path} counts time in frames (SMPTE), not in quarters; convert it."
        )
    parts: dict[tuple[int, int], list[Note]] = {}
    for number, track in enumerate(file.tracks):
        at = 0
        open_notes: dict[tuple[int, int], int] = {}
        for message in track:
            at += message.time
            if message.type == "time_signature":
                _check_meter(message, path)
            if message.type not in ("note_on", "note_off"):
                continue
            if message.channel == DRUMS:
                raise MusicFileError(
                    f"{path} has drums (channel 10), which have no pitch; remove them."
                )
            key = (message.channel, message.note)
            if key in open_notes:  # it ends, or is struck again
                start = open_notes.pop(key)
                if at > start:
                    part = parts.setdefault((number, message.channel), [])
                    part.append((start, at, message.note))
            if message.type == "note_on" and message.velocity:
                open_notes[key] = at
    if not parts:
        raise MusicFileError(f"{path} holds no notes.")
    return list(parts.values()), file.ticks_per_beat


def _check_meter(message: Any, path: Path) -> None:
    if QUARTERS * message.numerator != QUARTERS * message.denominator:
        raise MusicFileError(
            f"{path} is in {message.numerator}/{message.denominator}; models know 4/4 "
            "alone. Write it in bars of four quarters."
        )
