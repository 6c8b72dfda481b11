"""What makes a set of weights, as one frozen record."""

import contextlib
import dataclasses
import math
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aezoo import registry
from aezoo.errors import AezooError
from aezoo.manifest import WeightsEntry
from aezoo.utils.records import plain
from aezoo.utils.text import did_you_mean
from aezoo.utils.validation import check_choice, check_number, check_positive_int

METHODS = ("gradient", "closed_form")


class RecipeError(AezooError, ValueError):
    """A recipe is unknown or malformed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines a set of weights, but the machine.

    Attributes:
        family: Family, as in `aezoo.create(family)`.
        config: The family's arguments.
        description: One sentence for the manifest.
        paper: URL of the paper behind the family.
        metrics: Metrics to measure on the test split, names of `aezoo.evaluation`; none
            for those that `aezoo.evaluate` measures by itself.
        dataset: TFDS name, or that of a folder of .npz files in `--data-dir`, e.g.
            `"omniglot28"`; trained on all of `train`, measured on all of `test`. For
            `aezoo train`, the path of a folder or file as well.
        method: `"gradient"` (`fit`) or `"closed_form"` (`fit_closed_form`).
        epochs: Passes over the training split.
        steps_per_epoch: Steps that count as an epoch, each on other images; None is a
            pass over all of them.
        batch_size: Images per step.
        batch_grid: Values of each factor in a grid, which holds all combinations of
            them, e.g. `{"style": 4, "content": 4}`; for objectives that learn from
            what examples have in common. A batch is made of whole grids. The data must
            hold all combinations. None draws single examples.
        learning_rate: Peak of the schedule: linear warm-up, then cosine decay to 0.
        decay: Whether it decays; False stays at the peak, so that a training can go on
            for more epochs than were planned.
        warmup_steps: Steps of the warm-up.
        beta_1: Decay of Adam's first moment.
        weight_decay: Decoupled weight decay (AdamW); 0 is Adam.
        clipnorm: Clip each gradient to this norm, or None.
        skip_gradients_above: Skip steps whose gradients have a larger norm, all
            together, or one that is not finite; None takes all. `log.csv` counts them.
        gradient_accumulation_steps: Steps whose mean gradient makes one update, as of
            one batch of all their images. The learning rate's schedule counts steps,
            those of a family count updates.
        ema_decay: Per update, of the exponential moving average of the trained weights.
            If set, the average is what is validated, measured and exported.
        adversary_learning_rate: Peak for the adversary, on the same schedule; None
            takes `learning_rate`.
        steps_per_execution: Steps per compiled call; 1 for as many as take two seconds.
        start_from: Name of bundled weights of the same network; what both models
            have in common starts from them, and what they lack from the family's own
            start.
        labelled_examples: Training images whose labels are kept, as many of each
            class; all others that are learnt from are unlabelled. None keeps all.
        importance_samples: Codes per image in the importance-sampled likelihood; 0
            leaves it out. It is dear, and tells little where the objective is no bound
            on the likelihood.
        validation_examples: Training images held out, the last ones; where there are
            any, the epoch with the lowest validation loss is exported, else the last
            one.
        patience: Stop after so many epochs without a lower validation loss; None
            trains all.
        seed: Seed of weights, order and noise.
        license: Licence of the weights.
    """

    family: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    description: str = ""
    paper: str = ""
    metrics: tuple[str, ...] = ()
    dataset: str = "mnist"
    method: str = "gradient"
    epochs: int = 1
    steps_per_epoch: int | None = None
    batch_size: int = 128
    batch_grid: Mapping[str, int] | None = None
    learning_rate: float = 1e-3
    decay: bool = True
    warmup_steps: int = 500
    weight_decay: float = 0.0
    clipnorm: float | None = None
    skip_gradients_above: float | None = None
    gradient_accumulation_steps: int = 1
    ema_decay: float | None = None
    beta_1: float = 0.9
    adversary_learning_rate: float | None = None
    steps_per_execution: int = 1
    start_from: str | None = None
    labelled_examples: int | None = None
    importance_samples: int = 500
    validation_examples: int = 0
    patience: int | None = None
    seed: int = 0
    license: str = "Apache-2.0"

    def __post_init__(self) -> None:
        """Check everything that can be checked before an epoch is spent."""
        check_choice("family", self.family, registry.list_families())
        check_choice("method", self.method, METHODS)
        check_positive_int("epochs", self.epochs)
        if self.steps_per_epoch is not None:
            check_positive_int("steps_per_epoch", self.steps_per_epoch)
        check_positive_int("batch_size", self.batch_size)
        check_positive_int("steps_per_execution", self.steps_per_execution)
        check_number("learning_rate", self.learning_rate, above=0.0)
        check_number("beta_1", self.beta_1, low=0.0, high=1.0)
        if self.adversary_learning_rate is not None:
            check_number(
                "adversary_learning_rate", self.adversary_learning_rate, above=0.0
            )
        if self.labelled_examples is not None:
            check_positive_int("labelled_examples", self.labelled_examples)
        check_number("warmup_steps", self.warmup_steps, low=0)
        check_number("weight_decay", self.weight_decay, low=0.0)
        check_number("validation_examples", self.validation_examples, low=0)
        check_number("importance_samples", self.importance_samples, low=0)
        check_number("seed", self.seed, low=0)
        for name in ("clipnorm", "skip_gradients_above"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0.0)
        check_positive_int(
            "gradient_accumulation_steps", self.gradient_accumulation_steps
        )
        if self.ema_decay is not None:
            check_number("ema_decay", self.ema_decay, above=0.0, high=1.0)
        if self.batch_grid is not None:
            grid = dict(self.batch_grid)
            if self.batch_size % math.prod(grid.values()):
                raise ValueError(
                    "`batch_size` must be a multiple of the combinations in "
                    f"`batch_grid`. Received: batch_size={self.batch_size}, "
                    f"batch_grid={grid}."
                )
            object.__setattr__(self, "batch_grid", MappingProxyType(grid))
        if self.patience is not None:
            check_positive_int("patience", self.patience)
            if not self.validation_examples:
                raise ValueError(
                    "`patience` needs `validation_examples` to be above 0. Received: "
                    f"patience={self.patience}, validation_examples=0."
                )
        object.__setattr__(self, "config", MappingProxyType(dict(self.config)))

    def with_overrides(self, **fields: Any) -> "Recipe":
        """A copy with the fields that are not None replaced."""
        given = {name: value for name, value in fields.items() if value is not None}
        return dataclasses.replace(self, **given)

    def fingerprint(self) -> dict[str, Any]:
        """All fields as JSON values, to tell whether two runs are the same."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        # without those that runs of before do not know, where they change nothing
        for name in ("batch_grid", "decay", "patience"):
            if fields[name] == self.__dataclass_fields__[name].default:
                del fields[name]
        if self.batch_grid is not None:
            fields["batch_grid"] = dict(self.batch_grid)
        return {**fields, "config": dict(self.config), "metrics": list(self.metrics)}

    def settings(self) -> dict[str, Any]:
        """What decides the training, where it is not the default, as JSON values.

        Without what a manifest's entry states by itself: family, arguments, data, seed.
        """
        fields = self.fingerprint()
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        elsewhere = {
            *("family", "config", "description", "paper", "metrics"),
            *("dataset", "seed", "license", "start_from"),
        }
        return {
            name: value
            for name, value in fields.items()
            if name not in elsewhere and value != defaults[name]
        }


def read_recipe(path: Path) -> Recipe:
    """The recipe of a Python file, which is run: `RECIPE = Recipe(...)`.

    Raises:
        RecipeError: If it is no such file, or has an unknown, missing or invalid field;
            names the closest.
    """
    if not path.is_file():
        raise RecipeError(f"There is no recipe {path}.")
    with told_as(str(path)):
        found = runpy.run_path(str(path))
    return checked(found.get("RECIPE"), str(path))


@contextlib.contextmanager
def told_as(name: str) -> Iterator[None]:
    """What is wrong with a recipe inside, as a `RecipeError` that names it."""
    try:
        yield
    except Exception as error:  # a recipe is code, and raises what it likes
        raise RecipeError(
            f"The recipe {name!r} is malformed: {error}{_closest_field(str(error))}"
        ) from error


def checked(recipe: Any, name: str) -> Recipe:
    """What a recipe's module sets.

    Raises:
        RecipeError: If it is no `Recipe`.
    """
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"The recipe {name!r} must set `RECIPE = Recipe(...)`. "
            f"Received: {type(recipe).__name__}."
        )
    return recipe


def recipe_of(entry: WeightsEntry) -> Recipe:
    """The recipe that published weights were trained by, as the manifest states it."""
    return Recipe(
        family=entry.family,
        config=plain(entry.config),
        description=entry.description,
        paper=entry.paper,
        dataset=entry.data.name,
        seed=entry.seed,
        license=entry.license,
        start_from=entry.training.start_from,
        **plain(entry.training.settings),
    )


def _closest_field(message: str) -> str:
    unknown = re.search(r"unexpected keyword argument '(\w+)'", message)
    fields = [f.name for f in dataclasses.fields(Recipe)]
    if unknown is None:
        return ""
    hint = did_you_mean(unknown[1], fields)
    return f".{hint} Fields: {', '.join(fields)}."
