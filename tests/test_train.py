"""Training end to end on small data: resumes exactly, fails early, exports whole."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.data.datasets import Dataset, DatasetError, load_dataset
from aezoo.errors import ManifestError
from aezoo.manifest import Manifest
from aezoo.modalities.image.digits import draw_digits
from aezoo.registry import find_family
from aezoo.store.load import load_entry
from aezoo.training.batches import ShuffledExamples
from aezoo.training.loop import (
    keep_labels,
    refuse_other_run,
    start_from,
    training_examples,
)
from aezoo.training.recipe import Recipe, RecipeError
from training.export import export, read_entry
from training.files import edited_manifest, write_manifest
from training.train import train

ROOT = Path(__file__).parent.parent
NAME = "dense_vae_mnist_z20"
Batch = tuple[np.ndarray, ...]


# Weights are stored as float16.
HALF = 2.0**-11


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn digits as a dataset named mnist, in .npz files."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for seed, (split, count) in enumerate({"train": 1100, "test": 100}.items()):
        images, labels = draw_digits(count, seed=seed)
        np.savez(folder / "mnist" / f"{split}.npz", images=images, labels=labels)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        family="dense_vae",
        config={"latent_dim": 2, "hidden_units": (16,)},
        description="Small.",
        paper="https://arxiv.org/abs/1312.6114",
        metrics=("elbo", "mse"),
        epochs=2,
    )


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[int, int], Batch]:
    """The batches that a training is given, by epoch and place."""
    batches = {}

    class Recorded(ShuffledExamples):
        def on_epoch_begin(self) -> None:
            for index in range(len(self)):
                batches[self.epoch, index] = self[index]

    monkeypatch.setattr("aezoo.training.loop.ShuffledExamples", Recorded)
    return batches


def command(data_dir: Path, out: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "training.train", NAME, "--data-dir", str(data_dir),
        "--out", str(out), *options,
    ]  # fmt: skip


def metrics_of(out: Path) -> dict[str, float]:
    entry = read_entry(NAME, out / "export" / "weights_manifest.json")
    return {name: m.value for name, m in entry.metrics["mnist/test"].items()}


@pytest.mark.exhaustive
def test_a_killed_run_resumes_and_ends_like_an_uninterrupted_one(
    data_dir: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run = {"check": True, "cwd": ROOT, "capture_output": True, "timeout": 200}
    subprocess.run(command(data_dir, whole, "--epochs", "30"), **run)

    log = killed / "log.csv"
    with subprocess.Popen(
        command(data_dir, killed, "--epochs", "30"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 100
        while not (log.is_file() and len(log.read_text().splitlines()) > 3):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    rows = log.read_text().splitlines()
    assert len(rows) < 31  # it was in the middle
    subprocess.run(command(data_dir, killed, "--epochs", "30"), **run)

    assert metrics_of(killed) == pytest.approx(metrics_of(whole), rel=1e-5)
    with log.open() as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert sorted(set(epochs)) == list(range(30))


@pytest.mark.parametrize("mixed_precision", [None, "mixed_bfloat16"])
def test_a_run_exports_a_loadable_model_and_a_valid_manifest(
    data_dir: Path, tmp_path: Path, recipe: Recipe, mixed_precision: str | None
) -> None:
    precision = {"mixed_precision": mixed_precision}
    entry = train("dense_vae_small", recipe, tmp_path / "run", data_dir, **precision)
    folder = tmp_path / "run" / "export"
    parsed = manifest.read_manifest(folder / "weights_manifest.json")
    assert parsed.models == {"dense_vae_small": entry}
    model = load_entry(entry, folder / entry.weights.file)
    images = load_dataset("mnist", "test", data_dir).examples
    # The weights file alone reproduces the metric that the manifest states.
    error = np.mean((model.reconstruct(images / np.float32(255)) - images / 255.0) ** 2)
    stated = entry.metric("mse")
    assert stated is not None
    assert stated.value == pytest.approx(error, rel=1e-4)
    assert (tmp_path / "run" / "log.csv").is_file()
    assert list((tmp_path / "run" / "tensorboard").rglob("events*"))
    # No optimiser state: 4 bytes a weight and the file's structure.
    assert entry.weights.bytes < 4 * entry.num_params + 50_000


def test_a_run_starts_from_weights_and_has_short_epochs(
    data_dir: Path,
    tmp_path: Path,
    recipe: Recipe,
    served: dict[tuple[int, int], Batch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = {"latent_dim": 2, "filters": (4,), "strides": (2,), "hidden_units": ()}
    source = aezoo.create("conv_vae", **network, name="conv_vae_source")
    source.build()
    sources = {"conv_vae_source": source}
    monkeypatch.setattr("aezoo.training.loop.load", sources.__getitem__)
    config = {**network, "num_pseudo_inputs": 3}
    fine_tuned = recipe.with_overrides(
        family="vamp_vae",
        config=config,
        start_from="conv_vae_source",
        steps_per_epoch=2,
        learning_rate=1e-9,  # so that the weights stay where they start
    )
    entry = train("vamp_vae_small", fine_tuned, tmp_path / "run", data_dir)

    assert sorted(served) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    model = load_entry(entry, tmp_path / "run" / "export" / entry.weights.file)
    for part in ("encoder", "decoder"):
        ours, theirs = (getattr(m, part).get_weights() for m in (model, source))
        for weight, start in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(weight, start, rtol=HALF, atol=1e-6)
    fresh = aezoo.create("vamp_vae", **config)
    fresh.build()
    images = load_dataset("mnist", "train", data_dir).examples
    fresh.adapt(images, fine_tuned.seed)
    made = [m.pseudo_inputs for m in (model, fresh)]
    np.testing.assert_allclose(*made, rtol=HALF, atol=1e-6)

    assert entry.training.start_from == "conv_vae_source"
    assert "seed 0, from conv_vae_source" in repr(entry)
    parsed = manifest.read_manifest(tmp_path / "run/export/weights_manifest.json")
    assert parsed.models == {"vamp_vae_small": entry}


def test_a_run_is_served_few_labels(
    data_dir: Path,
    tmp_path: Path,
    recipe: Recipe,
    served: dict[tuple[int, int], Batch],
) -> None:
    config = {"latent_dim": 2, "filters": (4,), "strides": (2,), "hidden_units": ()}
    few = recipe.with_overrides(
        family="conditional_vae", config=config, epochs=1, validation_examples=100,
        labelled_examples=50,
    )  # fmt: skip
    train("conditional_vae_small", few, tmp_path / "run", data_dir)
    labels = np.concatenate([batch[1] for batch in served.values()])
    assert len(labels) == 1000
    assert np.bincount(labels[labels >= 0]).tolist() == [5] * 10


def test_a_held_out_split_decides_which_epoch_is_exported(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    held_out = recipe.with_overrides(validation_examples=100)
    train("dense_vae_small", held_out, tmp_path / "run", data_dir)
    with (tmp_path / "run" / "log.csv").open() as file:
        assert all(float(row["val_loss"]) > 0 for row in csv.DictReader(file))


def test_closed_form_recipes_run_too(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    linear = recipe.with_overrides(
        family="linear_ae", config={"latent_dim": 5}, method="closed_form",
        metrics=("mse",),
    )  # fmt: skip
    entry = train("linear_ae_small", linear, tmp_path / "run", data_dir)
    assert entry.training.seconds > 0


def test_another_recipe_in_the_same_folder_is_refused(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    short = recipe.with_overrides(epochs=1)
    train("dense_vae_small", short, tmp_path, data_dir)
    with pytest.raises(RecipeError, match=r"epochs=1 \(now 2\).*--no-resume"):
        train("dense_vae_small", recipe, tmp_path, data_dir)
    train("dense_vae_small", recipe, tmp_path, data_dir, resume=False)
    with (tmp_path / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]


def test_a_folder_without_a_run_is_free(tmp_path: Path) -> None:
    refuse_other_run(tmp_path / "run.json", {"recipe": {}})


@pytest.mark.parametrize("content", ["", "{}", "[]", "3", '{"recipe": 3}', "[" * 10**5])
def test_a_run_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(RecipeError, match=r"run\.json is not what a training writes"):
        refuse_other_run(path, {"recipe": {}})


def test_a_missing_dataset_says_how_to_get_it(tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(
        DatasetError, match=r"not prepared.*tfds.load\('mnist'\).*mnist/train.npz"
    ):
        train("dense_vae_small", recipe, tmp_path / "run", tmp_path)
    assert not (tmp_path / "run" / "log.csv").exists()


def test_an_unwritable_output_fails_before_any_epoch(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match=r"cannot be written.*`--out`"):
        train("dense_vae_small", recipe, tmp_path / "file" / "run", data_dir)


def test_the_command_line_reports_errors_in_one_line(tmp_path: Path) -> None:
    result = subprocess.run(
        command(tmp_path, tmp_path / "out"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert result.returncode == 1
    assert "Error: Dataset 'mnist'" in result.stderr
    assert "Traceback" not in result.stderr


def test_published_weights_are_immutable(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    entry = train("dense_vae_small", recipe, tmp_path / "run", data_dir)
    place = manifest.HubLocation("a/b", "0" * 40)
    published = replace(entry, weights=replace(entry.weights, hub=place))
    path = tmp_path / "weights_manifest.json"
    write_manifest(Manifest({"dense_vae_small": published}), path)
    model = aezoo.create(recipe.family, **recipe.config)
    data = load_dataset("mnist", "train", data_dir)
    with pytest.raises(ManifestError, match=r"immutable.*dense_vae_small_v2"):
        export("dense_vae_small", model, recipe, data, {}, {}, tmp_path, path)


def test_a_choice_is_made_on_training_images_that_were_held_out(
    data_dir: Path,
    tmp_path: Path,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    served: dict[tuple[int, int], Batch],
) -> None:
    """Neither is the test split read, nor are the held-out images learnt from."""
    asked = []

    def load(name: str, split: str, folder: Path) -> Dataset:
        asked.append(split)
        return load_dataset(name, split, folder)

    monkeypatch.setattr("training.train.datasets.load_dataset", load)
    entry = train("dense_vae_chosen", recipe, tmp_path / "run", data_dir, hold_out=300)
    assert asked == ["train"]
    (key,) = entry.metrics
    assert key == "mnist/train[-300:]"
    assert "all 300 images" in entry.metrics[key]["mse"].protocol
    assert entry.data.split == "train[:-300]"
    whole = load_dataset("mnist", "train", data_dir).examples
    learnt = np.concatenate([batch[0] for batch in served.values()])
    counts = {image.tobytes(): 0 for image in whole}
    for image in np.asarray(learnt):
        counts[image.tobytes()] += 1
    assert all(counts[image.tobytes()] == recipe.epochs for image in whole[:-300])
    assert all(counts[image.tobytes()] == 0 for image in whole[-300:])
    with pytest.raises(RecipeError, match=r"hold_out=300 \(now None\)"):
        train("dense_vae_chosen", recipe, tmp_path / "run", data_dir)


def test_an_objective_weighted_by_the_images_has_those_that_are_left(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    weighted = recipe.with_overrides(
        family="beta_tcvae",
        config={
            "latent_dim": 2,
            "filters": (4,),
            "strides": (2,),
            "dataset_size": 1100,
        },
        epochs=1,
    )
    entry = train(
        "beta_tcvae_weighted", weighted, tmp_path / "run", data_dir, hold_out=100
    )
    assert entry.config["dataset_size"] == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hold_out": 1100}, r"from 1 to 1099.*Received: hold_out=1100"),
        ({"hold_out": 100, "bundle": True}, r"is for choices.*with bundle=True"),
    ],
)
def test_a_hold_out_that_leaves_nothing_or_is_published_is_refused(
    data_dir: Path, tmp_path: Path, recipe: Recipe, options: dict, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        train("dense_vae_chosen", recipe, tmp_path / "run", data_dir, **options)


def test_weights_too_large_to_bundle_are_refused_before_training(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    large = recipe.with_overrides(config={"hidden_units": (2000, 2000)})
    with pytest.raises(ManifestError, match=r"would take .* MB; at most 8 MB"):
        train("dense_vae_large", large, tmp_path / "run", data_dir, bundle=True)
    assert not (tmp_path / "run" / "log.csv").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, r"`models\.a_b\.seed` must be `int` >= 0\. Received: -1"),
        ({"paper": "none"}, r"`models\.a_b\.paper` must be .*Received: 'none'"),
        ({"value_range": (0.0, float("nan"))}, r"\.value_range\[1\]` must be finite"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_not_written(
    tmp_path: Path, changes: dict, message: str
) -> None:
    path = tmp_path / "weights_manifest.json"
    entry = replace(manifest.describe("conv_vae_mnist_z16"), **changes)
    with pytest.raises(ManifestError, match=message):
        write_manifest(Manifest({"a_b": entry}), path)
    assert not path.exists()


def test_order_depends_on_seed_and_epoch_alone() -> None:
    images = np.arange(10, dtype="uint8").reshape(10, 1, 1, 1)

    def order(seed: int, epoch: int) -> list[int]:
        batches = ShuffledExamples(images, 4, seed)
        batches.epoch = epoch
        parts = [batches[i][0].ravel() for i in range(len(batches))]
        assert [len(p) for p in parts] == [4, 4, 2]
        return np.concatenate(parts).tolist()

    assert sorted(order(0, 0)) == list(range(10))
    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(s, e)) for s in (0, 1) for e in (0, 1)}) == 4


def test_labels_keep_to_their_images() -> None:
    images = np.arange(10, dtype="uint8").reshape(10, 1, 1, 1)
    batches = ShuffledExamples(images, 4, 0, labels=10 * np.arange(10))
    for i in range(len(batches)):
        batch, labels = batches[i]
        np.testing.assert_array_equal(labels, 10 * batch.ravel().astype(int))


def test_a_family_that_learns_from_labels_is_served_them(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    config = {"latent_dim": 2, "filters": (4,), "strides": (2,), "hidden_units": ()}
    labelled = recipe.with_overrides(
        family="conditional_vae", config=config, epochs=1, validation_examples=100
    )
    entry = train("conditional_vae_small", labelled, tmp_path / "run", data_dir)
    assert entry.family == "conditional_vae"


def test_few_labels_are_kept_and_as_many_of_each_class() -> None:
    labels = np.repeat(np.arange(10), 20)
    kept = keep_labels(labels, 30, seed=0)
    assert np.bincount(kept[kept >= 0]).tolist() == [3] * 10
    assert np.array_equal(kept[kept >= 0], labels[kept >= 0])
    assert np.array_equal(kept, keep_labels(labels, 30, seed=0))
    assert np.any(kept != keep_labels(labels, 30, seed=1))
    for count in (35, 210):
        with pytest.raises(
            RecipeError,
            match=rf"multiple of the 10 classes, and at most 200\. Received: {count}",
        ):
            keep_labels(labels, count, seed=0)


def test_labels_of_held_out_images_are_none_of_the_few(recipe: Recipe) -> None:
    few = recipe.with_overrides(labelled_examples=20, validation_examples=40)
    images, labels = draw_digits(100, seed=0)
    data = Dataset("images", "array", "train", images, labels)
    model = aezoo.create("conditional_vae", filters=(4,), strides=(2,))
    learnt, held_out = training_examples(model, data, few)
    assert [len(part) for part in (*learnt, *held_out)] == [60, 60, 40, 40]
    assert np.bincount(learnt[1][learnt[1] >= 0]).tolist() == [2] * 10
    np.testing.assert_array_equal(held_out[0], images[60:])
    np.testing.assert_array_equal(held_out[1], labels[60:])


def test_labels_that_would_be_ignored_are_refused(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    few = recipe.with_overrides(labelled_examples=20)
    with pytest.raises(
        RecipeError, match=r"must be None: 'dense_vae' does not learn.*Received: 20"
    ):
        train("dense_vae_small", few, tmp_path / "run", data_dir)


def test_labels_out_of_range_are_refused(recipe: Recipe) -> None:
    images, labels = draw_digits(100, seed=0)
    data = Dataset("images", "array", "train", images, labels)
    model = aezoo.create("conditional_vae", num_classes=5, filters=(4,), strides=(2,))
    with pytest.raises(ValueError, match=r"Labels must be from 0 to 4.*0 to 9"):
        training_examples(model, data, recipe)


def test_a_size_of_the_dataset_must_be_that_of_what_is_learnt_from(
    data_dir: Path, tmp_path: Path, recipe: Recipe
) -> None:
    config = {"latent_dim": 2, "filters": (4,), "strides": (2,), "hidden_units": ()}
    sized = recipe.with_overrides(
        family="beta_tcvae", epochs=1, validation_examples=100,
        config={**config, "dataset_size": 1100},
    )  # fmt: skip
    with pytest.raises(
        RecipeError, match=r"learns from, 1000\. Received: dataset_size=1100"
    ):
        train("beta_tcvae_small", sized, tmp_path / "run", data_dir)
    right = sized.with_overrides(config={**config, "dataset_size": 1000})
    train("beta_tcvae_small", right, tmp_path / "run", data_dir, resume=False)


def test_an_epoch_may_have_fewer_steps_than_a_pass() -> None:
    images = np.arange(100, dtype="uint8").reshape(-1, 1, 1, 1)
    batches = ShuffledExamples(images, 10, 0, steps=3)
    first = np.concatenate([batches[i][0] for i in range(len(batches))])
    batches.epoch = 1
    second = np.concatenate([batches[i][0] for i in range(len(batches))])
    assert len(np.unique(first)) == 30
    assert np.any(first != second)
    assert len(ShuffledExamples(images, 10, 0, steps=99)) == 10


def test_all_parts_of_a_model_start_from_another() -> None:
    """The side channel of a hyperprior, too."""
    tiny = find_family("hyperprior").tiny
    source, model = (aezoo.create("hyperprior", **tiny) for _ in range(2))
    for each in (source, model):
        each.ensure_built()
    for weight in source.weights:
        weight.assign(weight + 0.5)
    start_from(model, source)
    for theirs, ours in zip(source.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(theirs), np.asarray(ours))


def test_a_model_starts_from_the_weights_it_shares_with_another() -> None:
    config = {"filters": (4, 4), "hidden_units": (), "residual_blocks": 1}
    source = aezoo.create("conv_vae", latent_dim=3, **config, name="source")
    model = aezoo.create("flow_vae", latent_dim=3, flow="planar", **config)
    for each in (source, model):
        each.build()
    heads = model.encoder.heads
    context = heads["context"].get_weights()
    start_from(model, source)
    np.testing.assert_array_equal(context[0], heads["context"].get_weights()[0])
    for name, theirs in source.encoder.heads.items():
        ours = heads[name.replace("z_", "base_")]
        np.testing.assert_array_equal(theirs.get_weights()[0], ours.get_weights()[0])
    for theirs, ours in zip(
        source.decoder.get_weights(), model.decoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(theirs, ours)
    stranger = aezoo.create("ppca", latent_dim=3)
    stranger.build()
    with pytest.raises(RecipeError, match=r"no weights in common with 'source'"):
        start_from(stranger, source)


def test_pseudo_inputs_start_from_blends_that_are_no_image_of_the_data() -> None:
    images, _ = draw_digits(40, seed=0)
    model = aezoo.create("vamp_vae", num_pseudo_inputs=6, filters=(4,), strides=(2,))
    model.build()
    model.adapt(images, seed=0)
    blends = np.array(model.pseudo_inputs)
    assert blends.min() >= 0.0
    assert 0.9 * images.mean() < 255.0 * blends.mean() < 1.1 * images.mean()
    distances = np.abs(blends[:, None] - images[None] / 255.0).mean((2, 3, 4))
    assert distances.min() > 0.01
    model.adapt(images, seed=0)
    np.testing.assert_array_equal(blends, model.pseudo_inputs)
    model.adapt(images, seed=1)
    assert np.any(blends != np.array(model.pseudo_inputs))


@pytest.mark.exhaustive
def test_manifest_edits_side_by_side_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "weights_manifest.json"
    code = (
        "import sys, pathlib\n"
        "from aezoo import manifest\n"
        "from training import export\n"
        "entry = manifest.describe('conv_vae_mnist_z16')\n"
        "for i in range(40):\n"
        "    with export.edited_manifest(pathlib.Path(sys.argv[1])) as document:\n"
        "        document.models[f'{sys.argv[2]}_{i}'] = entry\n"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, str(path), who], cwd=ROOT)
        for who in ("a", "b")
    ]
    assert [job.wait(120) for job in jobs] == [0, 0]
    assert len(manifest.read_manifest(path).models) == 80


def test_an_edit_that_fails_leaves_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "weights_manifest.json"
    write_manifest(Manifest(), path)
    before = path.read_text()

    def fail() -> None:
        with edited_manifest(path) as document:
            document.models["a_b"] = manifest.describe("conv_vae_mnist_z16")
            raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        fail()
    assert path.read_text() == before


def test_labels_that_a_family_needs_must_be_there(recipe: Recipe) -> None:
    model = aezoo.create("conditional_vae", filters=(4,), strides=(2,))
    data = Dataset("images", "array", "train", np.zeros((3, 28, 28, 1), "uint8"))
    with pytest.raises(DatasetError, match="learns from labels, and the dataset"):
        training_examples(model, data, recipe)


def test_npz_data_is_read_without_tensorflow(data_dir: Path) -> None:
    """As on a machine that has JAX alone: importing TensorFlow fails there."""
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "sys.modules['tensorflow_datasets'] = None\n"
        "from aezoo.data.datasets import load_dataset, DatasetError\n"
        f"data = load_dataset('mnist', 'test', {str(data_dir)!r})\n"
        "sys.exit(data.examples.shape != (100, 28, 28, 1))\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


def test_the_real_dataset_reads_whole(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    train_images, test_images = mnist
    assert train_images.shape == (60_000, 28, 28, 1)
    assert test_images.shape == (10_000, 28, 28, 1)
    assert train_images.dtype == np.uint8
    # Mean and deviation of MNIST's training pixels, as commonly stated.
    assert np.mean(train_images) / 255 == pytest.approx(0.1307, abs=1e-4)
    assert np.std(train_images) / 255 == pytest.approx(0.3081, abs=1e-4)
