"""The trunk is free: a modality and a family that `aezoo` knows nothing about."""

import inspect
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo.cli import main
from aezoo.registry import find_family
from tests import checks
from tests.bits import Bits, BitsVAE

FAMILY = find_family("bits_vae")
TINY = dict(FAMILY.tiny)
ROOT = Path(aezoo.__file__).parent


@pytest.fixture(scope="module")
def trained() -> BitsVAE:
    """A model that has learnt that the second half of a word repeats the first."""
    keras.utils.set_random_seed(0)
    model = aezoo.create("bits_vae", latent_dim=4, hidden_units=(32,))
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(words(2000), epochs=12, batch_size=100, verbose=0)
    return model


def words(n: int, seed: int = 0) -> np.ndarray:
    half = Bits(4).examples(n, seed)
    return np.concatenate([half, half], axis=1)


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__[6:])
def test_every_common_check_holds(check) -> None:
    check(FAMILY, TINY)


@pytest.mark.parametrize(
    "check", checks.FILE_CHECKS, ids=lambda check: check.__name__[6:]
)
def test_every_common_check_of_files_holds(check, tmp_path) -> None:
    check(FAMILY, TINY, tmp_path)


def test_it_learns(trained) -> None:
    x = words(200, seed=1)
    np.testing.assert_array_equal(trained.reconstruct(x), x)


def test_it_is_saved_loaded_verified_and_described(trained, tmp_path) -> None:
    folder = aezoo.save(trained, tmp_path / "bits")
    loaded = aezoo.load(folder)
    assert loaded.modality == Bits(8)
    x = words(5)
    np.testing.assert_array_equal(loaded.encode(x), trained.encode(x))
    report = aezoo.verify(folder)
    assert report.is_ok if hasattr(report, "is_ok") else report
    entry = json.loads((folder / "aezoo.json").read_text())
    assert entry["config"]["modality"] == {"kind": "bits", "length": 8}
    assert "word" in (folder / "README.md").read_text()


def test_its_bound_is_evaluated(trained) -> None:
    report = aezoo.evaluate(trained, words(100, seed=2), metrics=["elbo", "kl"])
    assert 4 * np.log(2) - 1 < -report.metrics["elbo"].value < 8 * np.log(2)


def test_it_samples_through_a_fitted_mixture(trained) -> None:
    aezoo.fit_sampler(trained, words(500), "gmm", num_components=8)
    drawn = trained.sample(50, seed=0, sampler="gmm")
    assert drawn.shape == (50, 8)
    bits = drawn >= 0.5
    assert np.mean(np.all(bits[:, :4] == bits[:, 4:], axis=1)) > 0.7
    del trained.samplers["gmm"]


def test_the_command_line_samples_and_reconstructs(trained, tmp_path) -> None:
    folder = aezoo.save(trained, tmp_path / "bits")
    (tmp_path / "word.txt").write_text("10011001\n")
    run = CliRunner().invoke
    result = run(main, ["sample", str(folder), "-n", "4", "--seed", "0"])
    assert result.exit_code == 0, result.output
    assert len(re.findall(r"\b[01]{8}\b", result.output)) == 4
    result = run(main, ["reconstruct", str(folder), str(tmp_path / "word.txt")])
    assert result.exit_code == 0, result.output
    assert "10011001" in result.output
    result = run(main, ["describe", str(folder)])
    assert result.exit_code == 0, result.output


def test_no_line_of_the_package_knows_it() -> None:
    files = [path for path in ROOT.rglob("*.py") if path.is_file()]
    assert len(files) > 100
    for path in files:
        assert not re.search(r"\bbits_vae\b|\bBits\(", path.read_text()), path
    assert "tests" in inspect.getfile(Bits)
