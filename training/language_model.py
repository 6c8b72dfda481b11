"""A recipe's decoder without its latent: a baseline, and a judge of others.

    python -m training.language_model sentence_vae_tatoeba --data-dir DIR
    python -m training.language_model RECIPE --data-dir DIR --judge MODEL --judge MODEL

The first form trains a model of sequences with the recipe's data, vocabulary, sizes and
schedule, in `runs/language_model_<dataset>`; a run that was killed goes on with its
last epoch when the command is given again. The second one also writes a page of the
documents, `docs/sentences.md` or `docs/music.md`: how probable it finds test examples,
and those that models of the zoo write between two of them. It has seen none of their
latents.
"""

import dataclasses
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
from keras import ops

from aezoo.data import datasets
from aezoo.errors import AezooError
from aezoo.evaluation.metrics.text import num_symbols, perplexity_of
from aezoo.modalities import Modality
from aezoo.models.families import new_model
from aezoo.networks import Latent, Network
from aezoo.training.batches import ShuffledExamples
from aezoo.training.loop import adapted, make_optimizer
from aezoo.training.recipe import Recipe
from aezoo.utils.batches import batched
from training import judged
from training.recipes import load_recipe

Tensor = Any
# Arguments of networks that serve a latent alone, and what leaves them out.
WITHOUT_LATENT = {"word_dropout": 0.0, "segment": None}


class LanguageModel(keras.Model):
    """An autoregressive decoder whose latent is always 0.

    Args:
        modality: What an example is.
        network: Its sizes; no words are dropped, and no conductor leads it.
    """

    def __init__(self, modality: Modality, network: Network) -> None:
        super().__init__(name="language_model")
        self.modality = modality
        known = network.argument_names()
        left_out = {k: v for k, v in WITHOUT_LATENT.items() if k in known}
        network = dataclasses.replace(network, **left_out)
        self.decoder = network.decoder(modality, modality.channels, Latent(1))
        self.decoder.build((None, 1))
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Log-probability of each symbol of examples as tensors, `(batch, length)`."""
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
        """Mean negative log-likelihood of examples, nats."""
        return -ops.mean(ops.sum(y_pred, axis=1))

    def judge(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """How improbable examples are.

        Args:
            x: Examples, as users have them.

        Returns:
            Negative log-likelihood of each, nats, and symbols of each that have a
            probability, `(n,)` both.
        """
        rows = symbols_of(self.modality, self.modality.check(x))
        predict = self.predict_on_batch
        log_p = batched(lambda x: np.asarray(predict(x)), rows, batch_size=250)
        counts = num_symbols(rows.reshape(len(rows), -1))
        return -log_p.sum(axis=1, dtype="float64"), counts


def symbols_of(modality: Modality, examples: np.ndarray) -> np.ndarray:
    """Examples as tensors; int32."""
    return np.asarray(modality.to_model(examples), "int32")


def train(recipe: Recipe, out: Path, data_dir: Path | None) -> LanguageModel:
    """Train on what a recipe trains on, as long as it does; the best epoch is kept.

    Args:
        recipe: Of a model that writes one symbol after another.
        out: Folder of the run.
        data_dir: As in `aezoo.datasets.load_dataset`.

    Raises:
        ValueError: If the recipe's model does not.
    """
    data = datasets.load_dataset(recipe.dataset, "train", data_dir)
    template = new_model(recipe.family, **adapted(recipe, data))
    modality, network = template.modality, template.network
    if not network.is_autoregressive:
        raise ValueError(
            "A language model is of recipes whose network writes one symbol after "
            f"another. Received: network={network.kind!r}, of {modality.nouns}."
        )
    keras.utils.set_random_seed(recipe.seed + 1)
    model = LanguageModel(modality, network)
    examples = modality.check(data.examples)
    rows = symbols_of(modality, examples)
    count = len(rows) - recipe.validation_examples
    batches = ShuffledExamples(
        rows[:count],
        recipe.batch_size,
        recipe.seed + 1,
        sizes=modality.sizes(examples[:count]),
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


@click.command(help=__doc__)
@click.argument("name")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of datasets.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--epochs", type=click.IntRange(1), help="In place of the recipe's.")
@click.option("--judge", "names", multiple=True, help="A model; may be repeated.")
def main(
    name: str,
    data_dir: Path | None,
    out: Path | None,
    epochs: int | None,
    names: tuple[str, ...],
) -> None:
    """Command line."""
    try:
        recipe = load_recipe(name).with_overrides(epochs=epochs)
        out = out or Path("runs") / f"language_model_{recipe.dataset}"
        model = train(recipe, out, data_dir)
        test = datasets.load_dataset(recipe.dataset, "test", data_dir).examples
        nll, counts = model.judge(test)
        figure = perplexity_of(nll, counts)
        click.echo(
            f"{recipe.dataset}/test: {nll.mean():.3f} nats per {model.modality.noun}, "
            f"perplexity {figure.value:.2f}"
        )
        if names:
            options = [f"--epochs {epochs}"] * (epochs is not None)
            options += [f"--judge {judge}" for judge in names]
            command = " ".join([name, *options])
            page = judged.write(model.judge, model.modality, test, names, command)
            click.echo(f"Wrote {page.name}.")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
