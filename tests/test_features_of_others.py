"""Features of what is no image: sentences and music go the way of every example."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo.cli import main
from aezoo.data.datasets import DatasetError, open_dataset
from aezoo.data.streams import open_stream
from aezoo.errors import ExampleFileError, UnsupportedOperationError
from aezoo.features.search import reconstruction_errors
from aezoo.features.streaming import read_features
from aezoo.modalities import Music, Text

SENTENCES, MUSIC = "sentence_vae_tatoeba", "music_vae_jsb"
LINES = ["i want to talk to you .", "it was my turn .", "he was quiet for a while ."]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{line}\n" for line in LINES), "utf-8")
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code != 0
    return result.output


def test_sentences_are_encoded_to_parquet_and_found(
    lines: Path, tmp_path: Path
) -> None:
    output = tmp_path / "lines.parquet"
    done = aezoo.encode_to_parquet(SENTENCES, lines, output)
    assert (done.num_rows, done.metadata["kind"]) == (3, "text")
    again = aezoo.encode_to_parquet(SENTENCES, lines, output)
    assert again.num_resumed == 3
    features = read_features(output)
    expected = aezoo.load(SENTENCES).encode(LINES)
    np.testing.assert_allclose(features.features, expected, atol=1e-5)
    assert features.paths.tolist() == [f"{lines}/{i}" for i in range(3)]

    query = "he was quiet ."
    for source in (lines, output):
        found = json.loads(run("nearest", SENTENCES, query, source, "-k", 2, "--json"))
        assert found[0]["text"] == LINES[2]
    shown = tmp_path / "shown.txt"
    run("nearest", SENTENCES, query, lines, "-k", 2, "-o", shown)
    assert shown.read_text("utf-8").splitlines()[:2] == [query, LINES[2]]
    ranked = json.loads(run("outliers", SENTENCES, lines, "--json"))
    assert {row["text"] for row in ranked} == set(LINES)


def test_lines_are_read_in_parts_and_changes_are_seen(lines: Path) -> None:
    modality = aezoo.load(SENTENCES).modality
    stream = open_stream(lines, modality)
    found = np.concatenate([batch.examples for batch in stream.batches(2)])
    np.testing.assert_array_equal(found, modality.check(LINES))
    (before,) = [part.fingerprint for part in stream.parts(8, 2)]
    lines.write_text("it was mine .\n" * 3, "utf-8")
    (after,) = [part.fingerprint for part in open_stream(lines, modality).parts(8, 2)]
    assert before != after


def test_music_is_read_from_a_folder_of_midi_files(tmp_path: Path) -> None:
    pytest.importorskip("mido")
    modality = Music(steps=16)
    pieces = modality.examples(4, seed=2)
    for i, piece in enumerate(pieces):
        folder = tmp_path / "pieces" / ("odd" if i % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        modality.write(piece, folder / f"{i}.mid")
    data = open_dataset(tmp_path / "pieces", modality=modality)
    np.testing.assert_array_equal(data.examples, pieces[[0, 2, 1, 3]])
    np.testing.assert_array_equal(data.labels, [0, 0, 1, 1])

    output = tmp_path / "pieces.parquet"
    aezoo.encode_to_parquet(MUSIC, tmp_path / "pieces", output)
    features = read_features(output)
    expected = aezoo.load(MUSIC).encode(pieces[[0, 2, 1, 3]])
    np.testing.assert_allclose(features.features, expected, atol=1e-5)
    np.testing.assert_array_equal(features.labels, ["even", "even", "odd", "odd"])
    (tmp_path / "pieces" / "odd" / "5.mid").write_bytes(b"no music")
    with pytest.raises(ExampleFileError, match=r"5\.mid.* What has been encoded is"):
        aezoo.encode_to_parquet(MUSIC, tmp_path / "pieces", output, overwrite=True)


def test_extractors_of_sentences_take_what_models_take(tmp_path: Path) -> None:
    import keras

    model = aezoo.load(SENTENCES)
    extractor = aezoo.feature_extractor(SENTENCES)
    rows = model.modality.check(LINES)
    expected = model.encode(LINES)
    np.testing.assert_allclose(extractor(rows), expected, atol=1e-6)
    np.testing.assert_allclose(extractor.predict(LINES, verbose=0), expected, atol=1e-6)
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.saving.load_model(tmp_path / "extractor.keras")
    np.testing.assert_allclose(loaded.predict(LINES, verbose=0), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"`input_shape` is of images.*sentences"):
        aezoo.feature_extractor(SENTENCES, input_shape=(28, 28, 1))


def test_what_has_no_meaning_for_them_is_refused(lines: Path, tmp_path: Path) -> None:
    model = aezoo.load(SENTENCES)
    with pytest.raises(UnsupportedOperationError, match="symbols, which have no sq"):
        reconstruction_errors(model, open_stream(lines, model.modality))
    with pytest.raises(UnsupportedOperationError, match="baselines are of images"):
        aezoo.evaluate(model, LINES, metrics=["elbo"], train=LINES, baselines=True)
    output = tmp_path / "lines.parquet"
    assert "--invert is not for sentences" in refused(
        "encode", SENTENCES, lines, "-o", output, "--invert"
    )
    with pytest.raises(ValueError, match="`invert` is not for sentences"):
        aezoo.encode_to_parquet(SENTENCES, lines, output, invert=True)
    lines.write_text("word " * 40 + "\n", "utf-8")
    with pytest.raises(DatasetError, match=r"too long: at most 20 words"):
        aezoo.encode_to_parquet(SENTENCES, lines, output)
    with pytest.raises(DatasetError, match=r"takes sentences of shape \(20,\)"):
        open_stream(np.ones((3, 7), "int32"), model.modality)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"holds no sentences \(\.txt\)"):
        open_stream(tmp_path / "empty", Text())
