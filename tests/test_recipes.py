"""Every recipe parses, builds and learns; a malformed one says what to do."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import aezoo
from aezoo import manifest
from aezoo.evaluation.definition import find_metric
from aezoo.training.loop import make_optimizer
from aezoo.training.recipe import Recipe, RecipeError, recipe_of
from tests.checks import fit
from tests.draws import some_cases
from training import recipes
from training.recipes import load_recipe, recipe_names

FIELDS = {
    "family": "dense_ae",
    "config": {"latent_dim": 3},
    "description": "d",
    "paper": "https://arxiv.org/abs/1312.6114",
    "metrics": ("mse",),
}


def test_every_recipe_can_be_read_and_states_paper_and_command() -> None:
    assert len(recipe_names()) >= 10
    for name in recipe_names():
        recipe = load_recipe(name)
        for metric in recipe.metrics:
            find_metric(metric)  # raises if there is none
        make_optimizer(recipe, 10)
        header = (recipes.RECIPES / f"{name}.py").read_text().split('"""')[1]
        assert recipe.paper in header
        command = rf"python -m training\.train {name} (--data-dir DIR )?--bundle"
        assert re.search(command, header), name


@pytest.mark.parametrize("name", some_cases(recipe_names(), at_most=3))
def test_recipes_do_one_step(name: str) -> None:
    """Some every week: all have done many, and `test_golden` builds what they made."""
    recipe = load_recipe(name)
    model = aezoo.create(recipe.family, **recipe.config)
    many = 99 if recipe.method == "closed_form" else 8
    examples = model.modality.examples(many)
    if recipe.method == "closed_form":
        model.fit_closed_form(examples)
    else:
        model.compile(make_optimizer(recipe, 10))
        losses = fit(model, examples, batch_size=8)["loss"]
        assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"family": "dense_aa"}, "Did you mean 'dense_ae'"),
        ({"epochs": 0}, "`epochs` must be an integer of at least 1"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` must be an integer of at least 1"),
        ({"labelled_examples": 0}, "`labelled_examples` must be an integer of at lea"),
        ({"beta_1": 2}, "`beta_1` must be a finite number at least 0 and at most 1"),
        (
            {"adversary_learning_rate": 0},
            "`adversary_learning_rate` must be .* above 0",
        ),
        ({"learning_rate": -1.0}, "`learning_rate` must be a finite number above 0"),
        ({"method": "magic"}, "`method` must be one of 'gradient', 'closed_form'"),
        ({"patience": 3}, "`patience` needs `validation_examples` to be above 0"),
        ({"clipnorm": 0.0}, "`clipnorm` must be a finite number above 0"),
        ({"ema_decay": 1.5}, "`ema_decay` must be .* above 0 and at most 1"),
        (
            {"gradient_accumulation_steps": 0},
            "`gradient_accumulation_steps` must be an integer of at least 1",
        ),
    ],
)
def test_a_wrong_field_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**{**FIELDS, **fields})


def test_an_unknown_field_names_the_closest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "training_recipes_test"
    monkeypatch.setattr(recipes, "RECIPES", package)
    package.mkdir()
    (package / "a_b.py").write_text(
        "from aezoo.training.recipe import Recipe\n"
        f"RECIPE = Recipe(**{FIELDS!r}, epoch=3)\n"
    )
    monkeypatch.setattr("training.recipes.__path__", [str(package)], raising=False)
    with pytest.raises(RecipeError, match=r"'epoch'.*Did you mean 'epochs'.*Fields:"):
        load_recipe("a_b")


def test_the_manifest_states_every_recipe() -> None:
    """So that `aezoo train NAME` needs no repository."""
    for name, entry in manifest.entries().items():
        told, recipe = recipe_of(entry), load_recipe(name)
        for field in dataclasses.fields(Recipe):
            if field.name not in ("config", "metrics"):
                same = getattr(told, field.name) == getattr(recipe, field.name)
                assert same, (name, field.name)
        asked = {k: v for k, v in recipe.config.items() if k != "modality"}
        stated = {name: told.config.get(name) for name in asked}
        assert json.dumps(stated) == json.dumps(asked), name


def test_an_unknown_recipe_names_the_closest() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean 'conv_vae_mnist_z16'"):
        load_recipe("conv_vae_mnist_z15")


def test_overrides_replace_only_what_is_given() -> None:
    recipe = Recipe(**FIELDS).with_overrides(epochs=7, seed=None)
    assert (recipe.epochs, recipe.seed) == (7, 0)


def test_recipes_need_no_tensorflow() -> None:
    code = (
        "import sys; from training.recipes import load_recipe, recipe_names\n"
        "[load_recipe(n) for n in recipe_names()]\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent
    )
