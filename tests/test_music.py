"""Music: what is taken and refused, a distribution over voices, metrics, its data."""

import gzip
import itertools
import json
import math
import sys
import wave

import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops

import aezoo
from aezoo.cli import main
from aezoo.data.datasets import load_dataset
from aezoo.errors import MissingDependencyError
from aezoo.evaluation.metrics import music as metrics
from aezoo.modalities import Music
from aezoo.modalities.music import REST, MusicFileError, onsets
from aezoo.models.music_vae import TINY_MUSIC
from aezoo.networks import NetworkError, Voices
from training.data import jsb_chorales

mido = pytest.importorskip("mido", reason="needs aezoo[music]")
CHORALES = Music(steps=8)
SMALL = Music(steps=2, voices=2, low=60, high=61, steps_per_quarter=1)
TINY = {name: value for name, value in TINY_MUSIC.items() if name != "modality"}


def tiny(segment=None, modality=SMALL):
    sizes = {**TINY, "segment": segment, "head_units": 32}
    model = aezoo.create("music_vae", modality=modality, **sizes)
    generator = np.random.default_rng(3)
    for weight in model.decoder.weights:
        weight.assign(generator.normal(size=weight.shape, scale=0.5))
    return model


def every_piece() -> np.ndarray:
    """All pieces of two steps and two voices of a rest and two pitches: 81."""
    pitches = itertools.product((REST, 60, 61), repeat=4)
    return np.array(list(pitches), "int32").reshape(-1, 2, 2)


def midi(path, *tracks, meter=(4, 4), **options):
    """A file of tracks of (pitch, start, end, channel), in ticks of 480 a quarter."""
    file = mido.MidiFile(ticks_per_beat=480, **options)
    for notes in tracks:
        track, at = mido.MidiTrack(), 0
        track.append(
            mido.MetaMessage("time_signature", numerator=meter[0], denominator=meter[1])
        )
        events = sorted(
            (time, kind, pitch, channel)
            for pitch, start, end, channel in notes
            for time, kind in ((start, "note_on"), (end, "note_off"))
        )
        for time, kind, pitch, channel in events:
            track.append(
                mido.Message(kind, note=pitch, channel=channel, time=time - at)
            )
            at = time
        file.tracks.append(track)
    file.save(path)
    return path


# --- What music is --------------------------------------------------------------------


def test_pieces_are_symbols_within_and_come_back() -> None:
    x = CHORALES.examples(5)
    symbols = np.asarray(CHORALES.to_model(x))
    assert symbols.min() >= 1
    assert symbols.max() < CHORALES.num_symbols
    np.testing.assert_array_equal(CHORALES.from_model(symbols), x)
    wrong = x.copy()
    wrong[1, 0, 0] = 35
    assert ops.convert_to_numpy(CHORALES.is_valid(wrong)).tolist() == [
        *(True, False, True, True, True)
    ]
    assert (np.asarray(CHORALES.to_model(wrong))[1] == -1).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("a.mid", r"Received: one path. For a single file pass `\[x\]`"),
        (np.zeros((2, 8, 4)), r"integers \(n, 8, 4\).* Received: dtype=float64"),
        (np.full((8, 4), 60), r"For a single piece pass `x\[None\]`"),
        (np.full((1, 8, 3), 60), r"Received: dtype=int64, shape=\(1, 8, 3\)"),
        (np.zeros((0, 8, 4), int), "is empty"),
        (np.full((1, 8, 4), 82), "from 36 to 81, or -1 .* Received: 82"),
        (np.full((1, 8, 4), -2), "Received: -2"),
        ([[[60]], [[60, 61]]], "must be pitches"),
        (["a.mid", 3], "all arrays or all paths|No such file"),
    ],
)
def test_what_is_no_piece_is_refused(x, message) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        CHORALES.check(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "`steps` must be"),
        ({"low": 70, "high": 60}, "`low` must be at most `high`"),
        ({"high": 128}, "that at most 127"),
        ({"low": 1.5}, "`low` must be"),
    ],
)
def test_what_is_no_range_is_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        Music(**arguments)


def test_a_segment_must_divide_the_steps() -> None:
    with pytest.raises(NetworkError, match="`segment` must divide the 8 steps"):
        aezoo.create("music_vae", modality=CHORALES, network=Voices(segment=3))


# --- Files ----------------------------------------------------------------------------


def test_a_file_that_was_written_is_read_as_it_was(tmp_path) -> None:
    x = CHORALES.examples(3)
    x[1, 3:5] = REST
    x[2] = REST
    x[2, 0] = (70, 65, 60, 50)
    for piece in x:
        CHORALES.write(piece, tmp_path / "a.mid")
        found, note = CHORALES.read(tmp_path / "a.mid")
        last = np.flatnonzero((piece != REST).any(axis=1))[-1]
        np.testing.assert_array_equal(found, piece)
        missing = 7 - last
        assert note == (
            f"{missing} steps of rest added at the end" if missing else None
        )
    CHORALES.write_many(x[:2], tmp_path / "two.mid")
    pieces, _ = CHORALES.read_many(str(tmp_path / "two.mid"))
    assert len(pieces) == 3  # a bar of silence between them
    np.testing.assert_array_equal(pieces[0], x[0])
    assert (pieces[1] == REST).all()
    np.testing.assert_array_equal(pieces[2], x[1])


def test_pieces_are_heard_at_their_pitch(tmp_path) -> None:
    bars = Music(steps=16)
    x = np.full((1, *bars.shape), -1, "int32")
    x[0, :8, 0], x[0, 8:, 3] = 69, 57  # a bar of 440 Hz, then one of 220
    bars.write(x[0], tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as file:
        rate, count = file.getframerate(), file.getnframes()
        heard = np.frombuffer(file.readframes(count), "<i2")
    assert count / rate == pytest.approx(2 * 4 * 60 / 80, abs=0.2)
    assert np.abs(heard).max() == 32_767
    for first, frequency in ((1.0, 440.0), (4.0, 220.0)):
        second = heard[round(first * rate) :][:rate].astype("float64")
        spectrum = np.abs(np.fft.rfft(second))
        assert np.argmax(spectrum) * rate / len(second) == pytest.approx(frequency)
    assert not bars.sound(np.full_like(x, -1))[1].any()


def test_chords_of_one_track_are_voices_from_the_highest_down(tmp_path) -> None:
    notes = [(60, 0, 960, 0), (64, 0, 480, 0), (67, 250, 960, 0)]
    path = midi(tmp_path / "piano.mid", notes)
    found, note = CHORALES.read(path)
    assert found[0].tolist() == [64, 60, REST, REST]
    assert found[1].tolist() == [67, 64, 60, REST]
    assert found[2].tolist() == [67, 60, REST, REST]
    assert (found[4:] == REST).all()
    assert note == (
        "1 notes moved to the nearest step; 4 steps of rest added at the end"
    )


def test_what_is_left_at_the_end_is_told(tmp_path) -> None:
    path = midi(tmp_path / "long.mid", [(60, 0, 480 * 5, 0)])
    pieces, note = CHORALES.read_many(str(path))
    assert pieces.shape == (1, 8, 4)
    assert note == "the last 2 steps, less than a piece, left out"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"meter": (3, 4)}, "is in 3/4; models know 4/4 alone"),
        ({"meter": (6, 8)}, "is in 6/8"),
        ({"channel": 9}, r"has drums \(channel 10\)"),
        ({"count": 5}, "too many voices: at most 4 notes at once. Received: 5"),
        ({"lowest": 30, "count": 1}, "pitches from 36 to 81.* Received: 30. Transpose"),
        ({"count": 0}, "holds no notes"),
        ({"type": 2}, "several songs"),
        ({"end": 250_000_000}, "is too long"),
    ],
)
def test_a_file_of_other_music_is_refused(tmp_path, options, message) -> None:
    lowest, end = options.pop("lowest", 50), options.pop("end", 480)
    channel, count = options.pop("channel", 0), options.pop("count", 2)
    notes = [(lowest + 2 * i, 0, end, channel) for i in range(count)]
    path = midi(tmp_path / "a.mid", notes, **options)
    with pytest.raises(MusicFileError, match=message):
        CHORALES.read(path)


def test_a_damaged_file_is_refused(tmp_path) -> None:
    path = tmp_path / "a.mid"
    CHORALES.write(CHORALES.examples(1)[0], path)
    content = path.read_bytes()
    for damaged in (b"", b"not music", content[:20], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(MusicFileError, match=r"no MIDI file, or a damaged one: \w"):
            CHORALES.check([path])
    frames = bytearray(content)
    frames[12] = 0xE7
    path.write_bytes(frames)
    with pytest.raises(MusicFileError, match="in frames"):
        CHORALES.read(path)
    with pytest.raises(OSError, match="No such file"):
        CHORALES.read(tmp_path / "none.mid")


def test_without_mido_the_extra_is_named(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.mid"
    CHORALES.write(CHORALES.examples(1)[0], path)
    monkeypatch.setitem(sys.modules, "mido", None)
    for use in (lambda: CHORALES.read(path), lambda: CHORALES.check([str(path)])):
        with pytest.raises(MissingDependencyError, match=r"aezoo\[music\]"):
            use()
    with pytest.raises(MissingDependencyError, match="Writing MIDI files needs mido"):
        CHORALES.write(CHORALES.examples(1)[0], path)


# --- A distribution over pieces -------------------------------------------------------


@pytest.mark.parametrize("segment", [None, 1])
def test_probabilities_of_all_pieces_sum_to_one(segment) -> None:
    model, x = tiny(segment), every_piece()
    z = np.repeat(np.random.default_rng(0).normal(size=(1, 3)), 81, axis=0)
    likelihood = model.likelihood_of(z)
    log_p = np.asarray(likelihood.log_prob(SMALL.to_model(x)))
    assert np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-5)
    # a search that follows all finds the most probable one
    best = model.decode(z[:1], beams=27)[0]
    np.testing.assert_array_equal(best, x[np.argmax(log_p)])
    # and what is drawn comes as often as it should
    drawn = model.write_codes(np.repeat(z, 50, axis=0), np.random.default_rng(1), 1.0)
    shares = [np.mean((drawn == piece).all(axis=(1, 2))) for piece in x]
    np.testing.assert_allclose(shares, np.exp(log_p), atol=0.03)


@pytest.mark.parametrize("segment", [None, 2])
def test_a_pitch_depends_on_what_was_written_before_alone(segment) -> None:
    modality = Music(steps=4, voices=3, low=60, high=64)
    model, generator = tiny(segment, modality), np.random.default_rng(0)
    x = modality.examples(1)
    z = generator.normal(size=(1, 3)).astype("float32")
    parameters = model.run("decode_parameters", z, 1)

    def log_probs(pieces):
        symbols = modality.to_model(pieces)
        return np.asarray(model.decoder.log_probs(parameters, symbols))[0]

    before = log_probs(x)
    for at in range(12):
        step, voice = divmod(at, 3)
        changed = x.copy()
        changed[0, step, voice] = 60 if x[0, step, voice] != 60 else 61
        moved = np.abs(log_probs(changed) - before) > 1e-6
        assert not moved[:at].any()
        assert moved[at]
        if voice < 2:
            assert moved[at + 1 : (step + 1) * 3].any()  # voices below
        if step < 3:
            assert moved[(step + 1) * 3 : (step + 2) * 3].any()  # the next step
        if segment and (step + 1) % segment:
            # the next segment starts anew, and reads but the step before it
            assert not moved[(step // segment + 1) * segment * 3 :].any()


def test_a_model_reads_and_writes_files(tmp_path) -> None:
    model = aezoo.create("music_vae", **TINY_MUSIC)
    modality = model.modality
    a, b = modality.examples(2)
    for piece, name in ((a, "a.mid"), (b, "b.mid")):
        modality.write(piece, tmp_path / name)
    files = [str(tmp_path / name) for name in ("a.mid", "b.mid")]
    np.testing.assert_array_equal(modality.check(files), [a, b])
    path = model.interpolate(*files, steps=4)
    np.testing.assert_array_equal(path, model.interpolate(a, b, steps=4))
    np.testing.assert_array_equal(model.encode(files), model.encode([a, b]))
    folder = str(aezoo.save(model, tmp_path / "model"))
    out = str(tmp_path / "out.mid")
    for arguments in (
        ["sample", folder, "-n", "3", "--temperature", "1"],
        ["reconstruct", folder, *files],
        ["interpolate", folder, *files, "--steps", "3"],
    ):
        for target in (out, str(tmp_path / "out.png")):
            result = CliRunner().invoke(main, [*arguments, "-o", target])
            assert result.exit_code == 0, result.output
            assert "Wrote" in result.output
        assert mido.MidiFile(out).tracks
    codes = tmp_path / "codes.npz"
    result = CliRunner().invoke(main, ["encode", folder, *files, "-o", str(codes)])
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(np.load(codes)["z"], model.encode(files))
    waltz = str(midi(tmp_path / "waltz.mid", [(60, 0, 480, 0)], meter=(3, 4)))
    result = CliRunner().invoke(main, ["encode", folder, waltz, "-o", str(codes)])
    assert result.exit_code == 1
    assert "is in 3/4; models know 4/4 alone" in result.output
    result = CliRunner().invoke(main, ["sample", folder, "-o", "a.mp3"])
    assert result.exit_code == 1
    assert ".mid" in result.output


# --- Metrics --------------------------------------------------------------------------


def test_notes_are_right_where_they_begin() -> None:
    x = np.array([[60, 50], [60, 52], [62, 52], [REST, 52]])[None]
    np.testing.assert_array_equal(
        onsets(x)[0], [[True, True], [False, True], [True, False], [False, False]]
    )
    x_hat = np.array([[60, 50], [62, 52], [62, 52], [REST, 53]])[None]
    # 60, 50 and 52 are; 62 begins a step early
    assert metrics.note_accuracy_of(x, x_hat)[0] == pytest.approx(3 / 4)
    assert metrics.note_accuracy_of(x, x)[0] == 1.0
    silent = np.full((1, 4, 2), REST)
    assert metrics.note_accuracy_of(silent, silent)[0] == 1.0
    assert metrics.note_accuracy_of(silent, x)[0] == 0.0


def test_entropy_of_pitch_classes_in_closed_form() -> None:
    octaves = np.array([[36, 48], [60, 72]])
    thirds = np.array([[60, 64], [60, 67]])  # C is held: one note of each class
    scale = np.arange(60, 72).reshape(6, 2)
    for piece, expected in ((octaves, 0.0), (thirds, math.log2(3))):
        found = metrics.pitch_class_entropy_of(piece[None])[0]
        assert found == pytest.approx(expected)
    assert metrics.pitch_class_entropy_of(scale[None])[0] == pytest.approx(
        math.log2(12)
    )
    assert metrics.pitch_class_entropy_of(np.full((1, 2, 2), REST))[0] == 0.0


def test_a_model_is_measured() -> None:
    model = aezoo.create("music_vae", **TINY_MUSIC)
    x = model.modality.examples(6)
    names = ["note_accuracy", "frame_accuracy", "pitch_class_entropy", "iwae_nll"]
    report = aezoo.evaluate(model, x, metrics=names, importance_samples=3)
    x_hat = model.reconstruct(x)
    assert report["frame_accuracy"].value == pytest.approx(np.mean(x == x_hat))
    assert report["note_accuracy"].value == pytest.approx(
        metrics.note_accuracy_of(x, x_hat).mean()
    )
    assert 0.0 <= report["pitch_class_entropy"].value <= math.log2(12)


def test_free_bits_cost_nothing() -> None:
    model = aezoo.create("music_vae", **TINY_MUSIC, free_bits=5.0, beta=0.5)
    x = model.modality.examples(4)
    model.compile()
    found = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    assert found["kl"] + found["free_bits"] >= 5.0 - 1e-5
    assert found["loss"] == pytest.approx(
        found["reconstruction"] + 0.5 * (found["kl"] + found["free_bits"]), rel=1e-5
    )


# --- The chorales ---------------------------------------------------------------------


def test_windows_of_chorales_in_all_transpositions(tmp_path) -> None:
    step = [60, 55, 50, 45]
    chorale = [[p + 2 * (i // 16) for p in step] for i in range(64)]  # 16ths
    other = [[pitch + 3 for pitch in step]] * 32
    source = tmp_path / "chorales.json.gz"
    content = {"train": [chorale, other], "valid": [other], "test": [chorale]}
    source.write_bytes(gzip.compress(json.dumps(content).encode()))
    result = CliRunner().invoke(
        jsb_chorales.main, [str(tmp_path), "--from", str(source), "--bars", "2"]
    )
    assert result.exit_code == 0, result.output
    train = load_dataset("jsb_chorales_2bars", "train", tmp_path).examples
    test = load_dataset("jsb_chorales_2bars", "test", tmp_path).examples
    # the first chorale spans the range, so it stays; the other one has seven places
    assert "train: 12 windows\nvalid: 1 windows\ntest: 3 windows" in result.output
    assert train.shape == (13, 16, 4)
    np.testing.assert_array_equal(train[-1], [other[0]] * 16)
    np.testing.assert_array_equal(test[0], chorale[:32:2])
    np.testing.assert_array_equal(test[1], chorale[16:48:2])
    shifts = {int(x[0, 0]) - 63 for x in train[5:-1]}
    assert shifts == set(range(-3, 4))
    assert set(np.diff(train, axis=2).ravel().tolist()) == {-5}
