"""A recipe's decoder of sentences without its latent: a baseline, a judge of others.

    python -m training.language_model sentence_vae_tatoeba --data-dir DIR
    python -m training.language_model RECIPE --data-dir DIR --judge MODEL --judge MODEL

The first form trains a recurrent language model with the recipe's data, vocabulary,
sizes and schedule, in `runs/language_model_<dataset>`; a run that was killed goes on
with its last epoch when the command is given again. The second one also writes
`docs/sentences.md`: how probable it finds test sentences, and those that models of the
zoo write between two test sentences. It has seen none of their latents.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
from keras import ops

import aezoo
from aezoo.data import datasets
from aezoo.errors import AezooError
from aezoo.evaluation.metrics.text import num_symbols, perplexity_of
from aezoo.modalities import Text
from aezoo.models.families import new_model
from aezoo.networks import Latent, Recurrent
from aezoo.utils.batches import batched
from aezoo.utils.files import atomic_path
from training.data import ShuffledImages
from training.export import ROOT
from training.recipe import Recipe, load_recipe
from training.train import adapted, make_optimizer

Tensor = Any
DOCUMENT = ROOT / "docs" / "sentences.md"
# Pairs of test sentences between which models write, sentences on each path, both ends
# included, and paths that the document shows.
PAIRS, STEPS, SHOWN = 200, 7, 3


class LanguageModel(keras.Model):
    """A decoder of sentences whose latent is always 0.

    Args:
        modality: What a sentence is.
        network: Its sizes; words are never dropped.
    """

    def __init__(self, modality: Text, network: Recurrent) -> None:
        super().__init__(name="language_model")
        network = dataclasses.replace(network, word_dropout=0.0)
        self.decoder = network.decoder(modality, modality.channels, Latent(1))
        self.decoder.build((None, 1))
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Log-probability of each word of rows of indices, `(batch, length)`."""
        parameters = self.decoder(ops.zeros((ops.shape(inputs)[0], 1)))
        return self.decoder.log_probs(parameters, inputs)

    def compute_loss(
        self,
        x: Any = None,  # noqa: ARG002
        y: Any = None,  # noqa: ARG002
        y_pred: Any = None,
        sample_weight: Any = None,  # noqa: ARG002
        training: bool = True,  # noqa: ARG002
    ) -> Tensor:
        """Mean negative log-likelihood of sentences, nats."""
        return -ops.mean(ops.sum(y_pred, axis=1))

    def nll(self, rows: np.ndarray) -> np.ndarray:
        """Negative log-likelihood of each sentence, nats, `(n,)`."""
        predict = self.predict_on_batch
        log_p = batched(lambda x: np.asarray(predict(x)), rows, batch_size=250)
        return -log_p.sum(axis=1, dtype="float64")


def train(recipe: Recipe, out: Path, data_dir: Path | None) -> LanguageModel:
    """Train on what a recipe trains on, as long as it does; the best epoch is kept.

    Args:
        recipe: Of a model of sentences.
        out: Folder of the run.
        data_dir: As in `aezoo.datasets.load_dataset`.
    """
    data = datasets.load_dataset(recipe.dataset, "train", data_dir)
    template = new_model(recipe.family, **adapted(recipe, data))
    modality, network = template.modality, template.network
    if not isinstance(modality, Text) or not isinstance(network, Recurrent):
        raise ValueError(
            "A language model is of recipes of sentences. Received: a recipe of "
            f"{modality.noun}s."
        )
    keras.utils.set_random_seed(recipe.seed + 1)
    model = LanguageModel(modality, network)
    rows = modality.check(data.images)
    count = len(rows) - recipe.validation_examples
    batches = ShuffledImages(
        rows[:count],
        recipe.batch_size,
        recipe.seed + 1,
        sizes=modality.sizes(rows[:count]),
    )
    model.compile(
        make_optimizer(recipe, batches.steps),
        steps_per_execution=recipe.steps_per_execution,
    )
    best = out / "best.weights.h5"
    out.mkdir(parents=True, exist_ok=True)
    model.fit(
        batches,
        epochs=recipe.epochs,
        validation_data=(rows[count:],),
        validation_batch_size=250,
        shuffle=False,  # `batches` does, by seed and epoch
        verbose=2,
        callbacks=[
            keras.callbacks.BackupAndRestore(out / "backup", delete_checkpoint=False),
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, _: setattr(batches, "epoch", epoch)
            ),
            keras.callbacks.ModelCheckpoint(
                best, monitor="val_loss", save_best_only=True, save_weights_only=True
            ),
        ],
    )
    model.load_weights(best)
    return model


def paths(model: Any, sentences: Sequence[str]) -> list[list[str]]:
    """What a model writes between the first pairs of sentences, ends included."""
    a, b = sentences[0 : 2 * PAIRS : 2], sentences[1 : 2 * PAIRS : 2]
    found: list[list[str]] = model.interpolate(list(a), list(b), steps=STEPS)
    return found


def document(
    judge: LanguageModel, modality: Text, test: Sequence[str], names: Sequence[str]
) -> str:
    """The page: how probable sentences are, and examples of paths."""

    def figures(sentences: Sequence[str]) -> tuple[float, float]:
        rows = modality.check(list(sentences))
        nll = judge.nll(rows)
        return float(nll.mean()), float(nll.sum() / num_symbols(rows).sum())

    rows = modality.check(list(test))
    perplexity = perplexity_of(judge.nll(rows), num_symbols(rows)).value
    whole, real = figures(test)
    lines = [
        "# Sentences between sentences",
        "",
        "Written by `python -m training.language_model`. A language model of the same "
        "decoder, which has no latent and was trained apart, says how probable it "
        f"finds what the models write between {PAIRS} pairs of test sentences, "
        f"{STEPS - 2} on each spherical path, without the ends; beside them all "
        f"{len(test):,} test sentences, {whole:.2f} nats each, perplexity "
        f"{perplexity:.2f}.",
        "",
        "| sentences | nats per word | times that of real ones |",
        "| --- | ---: | ---: |",
        f"| of the test split | {real:.3f} | 1 |",
    ]
    examples: list[str] = []
    bounds = [
        "",
        "The latent's worth: the negative log-likelihood of a test sentence beside the "
        "language model's; of the models it is the importance-sampled bound, or, where "
        "that is not measured, the negative ELBO. The KL says how much the latent "
        "tells.",
        "",
        "| model | nats per sentence | over the language model | KL | active units |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| language model | {whole:.2f} | | | |",
    ]
    for name in names:
        entry = aezoo.describe(name)
        sampled, elbo, kl, units = map(
            entry.metric, ("iwae_nll", "elbo", "kl", "active_units")
        )
        if elbo is not None and kl is not None and units is not None:
            # the importance-sampled figure where there is one, else a looser bound
            nll = -elbo.value if sampled is None else sampled.value
            bounds.append(
                f"| `{name}` | at most {nll:.2f} | {nll / whole - 1:+.1%} | "
                f"{kl.value:.2f} | {units.value:.0f} |"
            )
        written = paths(aezoo.load(name), test)
        between = [s for path in written for s in path[1:-1]]
        _, nats = figures(between)
        lines.append(f"| between them, `{name}` | {nats:.3f} | {nats / real:.2f} |")
        examples += ["", f"## `{name}`", ""]
        for i, path in enumerate(written[:SHOWN]):
            ends = test[2 * i], test[2 * i + 1]
            examples += [f"From *{ends[0]}* to *{ends[1]}*", ""]
            examples += [*(f"1. {sentence}" for sentence in path), ""]
    return "\n".join([*lines, *bounds, *examples]).rstrip("\n") + "\n"


@click.command(help=__doc__)
@click.argument("name")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of datasets.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--judge", "judged", multiple=True, help="A model; may be repeated.")
def main(
    name: str, data_dir: Path | None, out: Path | None, judged: tuple[str, ...]
) -> None:
    """Command line."""
    try:
        recipe = load_recipe(name)
        out = out or Path("runs") / f"language_model_{recipe.dataset}"
        model = train(recipe, out, data_dir)
        test = datasets.load_dataset(recipe.dataset, "test", data_dir).images.tolist()
        data = datasets.load_dataset(recipe.dataset, "train", data_dir)
        modality = Text(**_arguments(adapted(recipe, data)["modality"]))
        rows = modality.check(test)
        nll = model.nll(rows)
        figure = perplexity_of(nll, num_symbols(rows))
        click.echo(
            f"{recipe.dataset}/test: {nll.mean():.3f} nats per sentence, perplexity "
            f"{figure.value:.2f}"
        )
        if judged:
            with atomic_path(DOCUMENT) as path:
                page = document(model, modality, test, judged)
                path.write_text(page, encoding="utf-8")
            click.echo(f"Wrote {DOCUMENT.name}.")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "kind"}


if __name__ == "__main__":
    main()
