"""Families, recipes, manifest, files, README: each names the same things."""

import re
from pathlib import Path

import pytest

import aezoo
from aezoo import manifest, registry
from aezoo.files import sha256_of
from training.readme import README, model_table, with_table
from training.recipe import load_recipe, recipe_names

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "aezoo" / "weights"
ENTRIES = manifest.read_manifest(ROOT / "weights_manifest.json")
FIRST_WEIGHTS = {
    "linear_ae_mnist_z32", "ppca_mnist_z32", "dense_ae_mnist_z2", "dense_ae_mnist_z32",
    "conv_ae_mnist_z32", "sparse_conv_ae_mnist_z64", "denoising_conv_ae_mnist_z32",
    "dense_vae_mnist_z2", "dense_vae_mnist_z20", "conv_vae_mnist_z16",
}  # fmt: skip


def test_the_promised_weights_are_there() -> None:
    assert set(ENTRIES) >= FIRST_WEIGHTS


def test_every_entry_has_a_recipe_and_every_recipe_an_entry() -> None:
    assert sorted(ENTRIES) == recipe_names()
    for name, entry in ENTRIES.items():
        assert entry.recipe == f"training/recipes/{name}.py"
        assert (ROOT / entry.recipe).is_file()


def test_recipes_and_entries_agree() -> None:
    for name, entry in ENTRIES.items():
        recipe = load_recipe(name)
        assert entry.family == recipe.family
        assert entry.description == recipe.description
        assert entry.paper == recipe.paper
        assert entry.seed == recipe.seed
        assert entry.data.name == recipe.dataset
        assert set(entry.metrics[f"{recipe.dataset}/test"]) == set(recipe.metrics)
        for argument, value in recipe.config.items():
            stated = entry.config[argument]
            assert stated == (tuple(value) if isinstance(value, list) else value)


def test_recipe_headers_state_what_was_measured() -> None:
    for entry in ENTRIES.values():
        header = (ROOT / entry.recipe).read_text(encoding="utf-8").split('"""')[1]
        assert f"{entry.training.seconds:,.0f} s on {entry.training.hardware}" in header
        scores = re.findall(r"(\w+) (-?[\d.]+)[,.]", header.split("Test split: ")[1])
        assert scores
        for metric_name, score in scores:
            metric = entry.metric(metric_name)
            assert metric is not None
            assert f"{metric.value:.4g}" == score.rstrip(".")


def test_the_weights_folder_holds_the_manifests_files_and_no_others() -> None:
    extractors = manifest.read_extractors(ROOT / "weights_manifest.json")
    entries = [*ENTRIES.values(), *extractors.values()]
    expected = {e.weights.file for e in entries} | {e.golden.file for e in entries}
    assert {path.name for path in WEIGHTS.iterdir()} == expected


def test_files_have_the_stated_size_and_hash_and_are_small() -> None:
    total = 0
    for entry in ENTRIES.values():
        path = WEIGHTS / entry.weights.file
        assert path.stat().st_size == entry.weights.bytes <= 8_000_000
        assert sha256_of(path) == entry.weights.sha256
        assert sha256_of(WEIGHTS / entry.golden.file) == entry.golden.sha256
        total += entry.weights.bytes
    assert 0 < total <= 80_000_000


def test_every_family_has_weights_and_says_what_it_can_do() -> None:
    assert {e.family for e in ENTRIES.values()} == set(aezoo.list_families())
    for entry in ENTRIES.values():
        assert entry.tasks == registry.family_class(entry.family).TASKS


@pytest.mark.parametrize("family", registry.list_families())
def test_a_family_has_its_own_module_and_a_tiny_config(family: str) -> None:
    cls = registry.family_class(family)
    assert cls.__module__ == f"aezoo.models.{family}"
    assert cls.TINY_CONFIG
    assert cls.family == family


def test_the_readmes_table_is_the_manifests() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == with_table(text, model_table(ENTRIES.values()))
    for name in ENTRIES:
        assert f"`{name}`" in text
