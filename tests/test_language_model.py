"""Models of sequences without a latent, and what they say lies between two examples."""

import dataclasses
import itertools

import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo.modalities import Music, Text
from aezoo.models.families import new_model
from aezoo.models.music_vae import TINY_MUSIC
from aezoo.training.recipe import Recipe
from training import judged, language_model
from training.language_model import LanguageModel

RECIPE = Recipe(
    family="music_vae",
    config=TINY_MUSIC,
    description="d",
    paper="p",
    metrics=("note_accuracy",),
    dataset="tiny",
    validation_examples=8,
    batch_size=8,
)


def test_probabilities_of_all_pieces_sum_to_one() -> None:
    modality = Music(steps=2, voices=2, low=60, high=61, steps_per_quarter=1)
    config = {**TINY_MUSIC, "modality": modality, "segment": 1}
    model = LanguageModel(modality, new_model("music_vae", **config).network)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(generator.normal(size=weight.shape, scale=0.5))
    pitches = itertools.product((-1, 60, 61), repeat=4)
    pieces = np.array(list(pitches), "int32").reshape(-1, 2, 2)
    nll, counts = model.judge(pieces)
    assert np.exp(-nll).sum() == pytest.approx(1.0, abs=1e-5)
    assert counts.tolist() == [4] * 81


def test_nothing_that_serves_a_latent_is_left() -> None:
    network = new_model("music_vae", **TINY_MUSIC).network
    model = LanguageModel(Music(steps=4, voices=2, low=60, high=64), network)
    assert network.segment == 2
    assert model.decoder.conductor is None
    text = Text(4, words="a b")
    network = new_model("sentence_vae", modality=text, word_dropout=0.9).network
    model = LanguageModel(text, network)
    assert model.decoder.word_dropout == 0.0
    nll, counts = model.judge(["a b", "a"])
    assert nll.shape == (2,)
    assert counts.tolist() == [3, 2]  # their ends count


def test_a_network_that_writes_all_at_once_is_refused(tmp_path) -> None:
    recipe = dataclasses.replace(RECIPE, family="conv_vae", config={}, dataset="mnist")
    images = np.zeros((1, 28, 28, 1), "uint8")
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "train.npz", images=images)
    with pytest.raises(ValueError, match="network='conv', of images"):
        language_model.train(recipe, tmp_path, tmp_path)


def test_a_page_of_another_modality_is_refused() -> None:
    with pytest.raises(ValueError, match=r"text and music. Received: .* image"):
        judged.write(None, aezoo.modalities.Image(8, 8, 1), [], [], "")


def test_a_blended_path_goes_from_one_piece_to_the_other() -> None:
    a = np.full((50, 16, 2), 60)
    path = judged.blend(a, a + 7, steps=5, seed=0)
    assert path.shape == (50, 5, 16, 2)
    np.testing.assert_array_equal(path[:, 0], a)
    np.testing.assert_array_equal(path[:, -1], a + 7)
    assert (path[..., 0] == path[..., 1]).all()  # steps are whole
    shares = (path == 67).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(shares, [0, 0.25, 0.5, 0.75, 1], atol=0.05)


def test_rows_of_a_path_in_closed_form() -> None:
    straight = np.array([[60, 60], [60, 62], [62, 62]])[..., None]  # (steps, time, 1)
    still = np.full_like(straight, 60)  # its ends are the same
    paths = np.stack([straight, still])

    def judge(pieces):
        return pieces.sum(axis=(1, 2)) - 119.0, None  # 1, 3 and 5 nats

    distance, nats = judged.rows_of_path(judge, paths)
    np.testing.assert_allclose(distance, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(nats, [1.0, 1.0, 1.0])
    paths[0, 1] = 63  # improbable, and elsewhere
    distance, nats = judged.rows_of_path(judge, paths)
    np.testing.assert_allclose(distance, [0.0, 1.0, 1.0])
    np.testing.assert_allclose(nats, [1.0, 7 / 3, 1.0])


def test_the_command_trains_one_and_writes_the_page(tmp_path, monkeypatch) -> None:
    pytest.importorskip("mido", reason="needs aezoo[music]")
    model = aezoo.create("music_vae", **TINY_MUSIC)
    pieces = model.modality.examples(24)
    (tmp_path / "tiny").mkdir()
    for split, images in (("train", pieces), ("test", pieces[:10])):
        np.savez(tmp_path / "tiny" / f"{split}.npz", images=images)
    monkeypatch.setattr(language_model, "load_recipe", lambda _: RECIPE)
    monkeypatch.setattr(judged, "DOCS", tmp_path)
    monkeypatch.setattr(judged, "AUDIBLE", tmp_path)
    monkeypatch.setattr(aezoo, "load", lambda _: model)
    entry = aezoo.describe("conv_vae_mnist_z16")
    monkeypatch.setattr(aezoo, "describe", lambda _: entry)
    arguments = ["tiny", "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(language_model.main, [*arguments, "--judge", "one"])
    assert result.exit_code == 0, result.output
    assert "tiny/test: " in result.output
    assert "Wrote music.md" in result.output
    page = (tmp_path / "music.md").read_text()
    assert "Written by `python -m training.language_model tiny --judge one`." in page
    assert "| distance, `one` | 0.00 |" in page
    assert "| distance, blended | 0.00 |" in page
    for what in ("samples", "interpolation"):
        assert f"(music/one_{what}.mid)" in page
        assert model.modality.read_many(str(tmp_path / f"one_{what}.mid"))
        assert (tmp_path / f"one_{what}.png").stat().st_size
