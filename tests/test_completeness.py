"""Families, recipes, manifest, files, README: each names the same things."""

import re
from pathlib import Path

import pytest

import aezoo
from aezoo import manifest
from aezoo.models.families import new_model
from aezoo.registry import find_family
from aezoo.utils.files import sha256_of
from training.documents import CHOOSE, GRID_DATASET, documents, regions
from training.evaluate import published_name, subjects
from training.grid import OBJECTIVES
from training.recipes import load_recipe, recipe_names

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "aezoo" / "weights"
DOCUMENT = manifest.read_manifest(ROOT / "weights_manifest.json")
ENTRIES = DOCUMENT.models
# Those of the zoo, without what other tests of this process have registered.
FAMILIES = [
    name
    for name in aezoo.list_families()
    if find_family(name).objective.__module__.startswith("aezoo.")
]
FIRST_WEIGHTS = {
    "linear_ae_mnist_z32", "ppca_mnist_z32", "dense_ae_mnist_z2", "dense_ae_mnist_z32",
    "conv_ae_mnist_z32", "sparse_conv_ae_mnist_z64", "denoising_conv_ae_mnist_z32",
    "dense_vae_mnist_z2", "dense_vae_mnist_z20", "conv_vae_mnist_z16",
}  # fmt: skip
# Families under the bare name of their objective, which others have the weights of.
SHORT = {"ae": "conv_ae", "vae": "conv_vae"}
# Families whose weights are those of other libraries.
IMPORTED = {"spatial_ae"}
# Recipes that have not been trained yet, and why; their families may have no weights.
UNTRAINED = {
    **{
        name: "half an hour of two idle cores each, which there were not"
        for name in (
            "voxel_vae_modelnet10",
            *("music_vae_jsb_4bars", "music_vae_jsb_4bars_flat"),
        )
    },
    "conv_vae_orl_faces": "trained, it overfits 640 pictures, and shows no glasses",
    **{
        name: "an hour or more of an idle core each, which there was not"
        for name in (
            *("draw_two_digit_mnist", "draw_two_digit_mnist_whole"),
            "draw_street_digits",
        )
    },
}


# Models of which figures are still to be measured, and why.
UNMEASURED = dict.fromkeys(
    ("occupancy_vae_modelnet10", "world_model_carracing"),
    "half an hour of an idle core each, for the importance-sampled likelihood",
)


def test_the_promised_weights_are_there() -> None:
    assert set(ENTRIES) >= FIRST_WEIGHTS


def test_every_entry_has_a_recipe_and_every_recipe_an_entry() -> None:
    assert sorted([*ENTRIES, *UNTRAINED]) == recipe_names()
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
        stated = list(map(published_name, entry.metrics[f"{recipe.dataset}/test"]))
        assert stated[: len(recipe.metrics)] == list(recipe.metrics)
        for argument, value in recipe.config.items():
            configured = entry.config[argument]
            if isinstance(value, dict):  # less what was taken from the data
                assert dict(configured).items() >= value.items()
                continue
            assert configured == (tuple(value) if isinstance(value, list) else value)


def test_models_and_baselines_carry_every_published_metric() -> None:
    """What `python -m training.evaluate --all --missing --write` adds, no more."""
    found = subjects()
    assert len([s for s in found if s.is_baseline]) >= 6
    for subject in found:
        stated = list(map(published_name, subject.stated))
        if subject.title in UNMEASURED:
            assert set(stated) < set(subject.metrics), f"{subject.title} is complete"
        else:
            assert stated == list(subject.metrics), subject.title


def test_every_figure_is_of_a_whole_test_split() -> None:
    sizes: dict[str, set[str]] = {}
    for subject in subjects():
        assert subject.stated, subject.title
        for name, record in subject.stated.items():
            whole = rf"{subject.dataset}/test, all ([\d,]+) \w+; "
            found = re.match(whole, record.protocol)
            assert found, f"{subject.title} {name}: {record.protocol}"
            sizes.setdefault(subject.dataset, set()).add(found[1])
    assert sizes["mnist"] == {"10,000"}
    assert all(len(of_dataset) == 1 for of_dataset in sizes.values()), sizes


def test_documents_say_what_the_manifest_says() -> None:
    """Pages, recipe headers, schema: as `python -m training.documents` writes them."""
    texts = dict(documents())
    assert len(texts) == len(regions()) + len(ENTRIES) + 1, "recipes, and the schema"
    for path, text in texts.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_recipe_headers_state_time_and_a_score() -> None:
    for entry in ENTRIES.values():
        header = (ROOT / entry.recipe).read_text(encoding="utf-8").split('"""')[1]
        assert f"{entry.training.seconds:,.0f} s on {entry.training.hardware}" in header
        metric, value = re.findall(r"Test split: ([\w/]+) (-?[\d.]+)[,.]", header)[0]
        assert f"{entry.metric(metric).value:.4g}" == value


def test_the_weights_folder_holds_the_manifests_files_and_no_others() -> None:
    entries = [*ENTRIES.values(), *DOCUMENT.extractors.values()]
    expected = {e.weights.file for e in entries} | {e.golden.file for e in entries}
    for entry in ENTRIES.values():
        expected |= {file.file for file in entry.samplers.values()}
    assert {path.name for path in WEIGHTS.iterdir()} == expected


def test_files_have_the_stated_size_and_hash_and_are_small() -> None:
    total = 0
    for entry in (*ENTRIES.values(), *DOCUMENT.extractors.values()):
        path = WEIGHTS / entry.weights.file
        assert path.stat().st_size == entry.weights.bytes <= 8_000_000
        assert sha256_of(path) == entry.weights.sha256
        assert sha256_of(WEIGHTS / entry.golden.file) == entry.golden.sha256
        total += entry.weights.bytes
    for entry in ENTRIES.values():
        for kind, file in entry.samplers.items():
            path = WEIGHTS / file.file
            assert file.file == f"{entry.name}.{kind}.npz"
            assert path.stat().st_size == file.bytes <= 1_000_000
            assert sha256_of(path) == file.sha256
            total += file.bytes
    assert 0 < total <= 90_000_000


def test_every_family_has_weights_and_says_what_it_can_do() -> None:
    with_weights = {e.family for e in ENTRIES.values()}
    to_be_trained = {load_recipe(name).family for name in UNTRAINED} - set(SHORT)
    assert with_weights | set(SHORT) | IMPORTED | to_be_trained == set(FAMILIES)
    assert not with_weights & IMPORTED
    for short, family in SHORT.items():
        assert short not in with_weights
        a, b = (
            (f.objective, f.network, f.modality, f.defaults)
            for f in map(find_family, (short, family))
        )
        assert a == b
    for entry in ENTRIES.values():
        assert entry.tasks == find_family(entry.family).objective.TASKS


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_a_module_and_a_tiny_model(family: str) -> None:
    """Its own module, or that of the family whose objective it has."""
    found = find_family(family)
    package, _, module = found.objective.__module__.rpartition(".")
    assert package == "aezoo.models"
    assert find_family(module).objective is found.objective
    assert found.name == family
    assert found.tiny
    assert new_model(family, **found.tiny).family == family


def test_the_table_of_models_names_every_model_and_baseline() -> None:
    text = CHOOSE.read_text(encoding="utf-8")
    for name in ENTRIES:
        assert f"| `{name}` " in text, name
    for rows in DOCUMENT.baselines.values():
        for name in rows:
            assert f"\n| {name} (baseline)" in text, name


def test_each_trained_objective_of_the_grid_has_its_lesson() -> None:
    trained = [row for row in OBJECTIVES if row.name in ENTRIES]
    assert [row.name for row in trained if not row.lesson] == []
    for row in trained:
        assert ENTRIES[row.name].data.name == GRID_DATASET
        assert "\n" not in row.lesson


def test_what_calls_itself_of_the_grid_is_a_row_of_it() -> None:
    rows = {row.name for row in OBJECTIVES}
    for name, entry in ENTRIES.items():
        is_grid = "of the grid" in entry.description and entry.data.name == GRID_DATASET
        assert is_grid <= (name in rows), name


def test_the_pages_show_the_whole_gallery() -> None:
    folder = ROOT / "docs" / "learn"
    text = (folder / "gallery.md").read_text(encoding="utf-8")
    text += (folder / "lessons.md").read_text(encoding="utf-8")
    pictures = sorted((ROOT / "docs" / "gallery").glob("*.png"))
    assert len(pictures) >= 8
    for picture in (*pictures, *(ROOT / "docs" / "sweeps").glob("*.png")):
        assert f"](../{picture.parent.name}/{picture.name})" in text
