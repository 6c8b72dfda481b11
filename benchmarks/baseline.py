"""The same network and training as some weights have, under another objective."""

import dataclasses
from pathlib import Path
from typing import Any


def trained_as(name: str, family: str, out: Path, data_dir: Path) -> Any:
    """A model of another family, trained as a recipe says; a second call reads it.

    Args:
        name: The recipe.
        family: The family in the place of the recipe's; arguments that it does not know
            are left out, and batches are of single examples.
        out: Folder of the run, which a killed one goes on from.
        data_dir: As in `training.train`.
    """
    import aezoo
    from aezoo.models.families import known_arguments
    from aezoo.networks import network_class
    from aezoo.registry import find_family
    from training.recipes import load_recipe
    from training.train import train

    recipe = load_recipe(name)
    other = find_family(family)
    kind = recipe.config.get("network")
    network = network_class(kind) if kind else type(other.network)
    known = known_arguments(other, network)
    config = {key: value for key, value in recipe.config.items() if key in known}
    recipe = dataclasses.replace(recipe, family=family, config=config, batch_grid=None)
    title = f"{family}_as_{name}"
    entry = train(title, recipe, out, data_dir)
    model = aezoo.create(family, **config, name=title)
    model.load_weights(out / "export" / entry.weights.file)
    return model
