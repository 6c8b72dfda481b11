"""Does pretraining help? Few labels, five seeds, and what else could have been done.

    python -m training.transfer
    python -m training.transfer --source 'patch_ae_*' --target mnist

For each pair of pretrained weights and target dataset, and each number of labels per
class, measures the accuracy on the whole test split of

- `tuned probe`: logistic regression on frozen features, its penalty chosen by some of
  the labels from 1,000 on (`linear_probe` of the manifest has a fixed one);
- `fine-tuned`: that probe and the encoder, trained on together (Kumar et al., 2022,
  https://arxiv.org/abs/2202.10054);
- `random`: the same network from random weights, for as many steps;
- `pixels` and `pca`: logistic regression on pixels, and on principal components of the
  training images.

These learn from the labelled images alone. With the other training images, too:

- `spread`: label spreading over the nearest neighbours of frozen features;
- `self-trained`: as `fine-tuned`, on all training images with the labels so spread;
- `pca spread`, `random self-trained`: the same without pretraining. Labels spread over
  principal components, and the same network learns them from random weights.

Appends to `results/transfer.csv`, a row per run: what is there is not run again.
Then draws the curves, `docs/transfer/<target>.png`; `python -m training.documents` puts
the table into the README.
"""

import csv
import dataclasses
import fnmatch
import os
import string
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import filelock
import keras
import numpy as np

import aezoo
from aezoo.data import datasets
from aezoo.data.datasets import DatasetError
from aezoo.errors import AezooError
from aezoo.evaluation import plots
from training.export import ROOT
from training.intervals import Estimate, mean

RESULTS = ROOT / "results" / "transfer.csv"
FIGURES = ROOT / "docs" / "transfer"
SEEDS = 5
ALL = 0  # labels per class: all that there are
BUDGETS = (1, 10, 100, ALL)
# Steps of training by labels per class, the same for every network; so is the rest.
STEPS = {1: 100, 10: 200, 100: 400, ALL: 800}
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
# Penalties that the probe of all labels chooses from, by a tenth of them.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
COMPONENTS = 64
NEIGHBOURS = 10
SPREADING_ROUNDS = 100
COLUMNS = (
    *("source", "target", "layer", "method", "labels_per_class", "seed"),
    *("accuracy", "steps", "seconds"),
)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Pretrained weights, and the dataset that they are to serve.

    Attributes:
        source: Name of the weights.
        target: Name of the dataset.
        layer: Whose features are taken.
        pooling: Of those features, as in `aezoo.feature_extractor`.
        methods: What is compared.
        trained_budgets: Labels per class for which the encoder is trained; 0 is all.
        network: Of weights that share their network, so that one of them stands for
            all where it is trained from random weights; empty if it is their own.
    """

    source: str
    target: str
    layer: str = "latent"
    pooling: str | None = None
    methods: tuple[str, ...] = ("tuned probe", "fine-tuned")
    trained_budgets: tuple[int, ...] = BUDGETS
    network: str = ""

    @property
    def where(self) -> str:
        """The layer and how it is pooled."""
        return f"{self.layer}/{self.pooling}" if self.pooling else self.layer


# In the order of the table. Then those without a network; those that train one; those
# that also learn from unlabelled images.
METHODS = (
    *("pixels", "pca", "pca spread", "tuned probe", "spread"),
    *("fine-tuned", "self-trained", "random", "random self-trained"),
)
FREE = METHODS[:3]
TRAINED = METHODS[5:]
SPREADING = tuple(name for name in METHODS if "spread" in name or "self" in name)
WITHOUT_SELF_TRAINING = tuple(name for name in METHODS if "self" not in name)
# Small networks are trained on all labels, too.
FEW = (1, 10, 100)
FROM_RANDOM = ("tuned probe", "fine-tuned", "random")


def _conv(
    source: str, target: str, methods: tuple[str, ...] = ("tuned probe", "fine-tuned")
) -> Pair:
    """The last feature map of the grid's convolutional encoder: 4x4 positions."""
    return Pair(source, target, "stage3", "flatten", methods, network="convolutions")


PAIRS = (
    Pair("patch_ae_mnist", "mnist", methods=METHODS, trained_budgets=FEW),
    Pair("patch_ae_fashion_mnist", "fashion_mnist", "latent", None, METHODS, FEW),
    # One network, many objectives.
    _conv("conv_ae_mnist", "mnist", FROM_RANDOM),
    _conv("conv_ae_mnist_denoising", "mnist"),
    _conv("conv_ae_mnist_sparse", "mnist"),
    _conv("contractive_conv_ae_mnist", "mnist"),
    _conv("conv_vae_mnist", "mnist"),
    _conv("beta_vae_mnist", "mnist"),
    Pair("masked_ae_mnist", "mnist", methods=FROM_RANDOM, trained_budgets=FEW),
    Pair("masked_ae_fashion_mnist", "fashion_mnist", "latent", None, FROM_RANDOM, FEW),
    # From other images.
    _conv("conv_vae_omniglot_z32", "mnist"),
    _conv("conv_ae_fashion_mnist", "mnist"),
    _conv("conv_ae_fashion_mnist", "fashion_mnist", FROM_RANDOM),
    _conv("conv_ae_mnist", "fashion_mnist"),
    # Images in colour.
    Pair(
        *("patch_ae_cifar10", "cifar10"),
        methods=WITHOUT_SELF_TRAINING,
        trained_budgets=(10, 100),
    ),
    Pair(
        *("resnet_ae_cifar10_resnet18", "cifar10", "stage4", "flatten"),
        methods=FROM_RANDOM,
        trained_budgets=(10, 100),
    ),
    Pair(
        *("resnet_ae_cifar10_resnet18", "mnist", "pool"),
        methods=FROM_RANDOM,
        trained_budgets=(1, 10),
    ),
)


# Paragraphs of the README; a field is a run, whose accuracy stands in its place.
_PLAIN, _CLOTHES = "conv_ae_mnist", "conv_ae_fashion_mnist"
LESSONS = (
    "Two encoders transfer: the masked autoencoder, a small transformer, and "
    "`patch_ae`, wide filters of patches. Fine-tuned from `masked_ae_mnist`, one digit "
    "of each class gives {masked_ae_mnist mnist fine-tuned 1} in place of "
    "{masked_ae_mnist mnist random 1} from random weights, and ten of each "
    "{masked_ae_mnist mnist fine-tuned 10} in place of {masked_ae_mnist mnist random "
    "10}; on Fashion-MNIST {masked_ae_fashion_mnist fashion_mnist fine-tuned 1} in "
    "place of {masked_ae_fashion_mnist fashion_mnist random 1}, and "
    "{masked_ae_fashion_mnist fashion_mnist fine-tuned 10} in place of "
    "{masked_ae_fashion_mnist fashion_mnist random 10}. `patch_ae_cifar10` gives "
    "{patch_ae_cifar10 cifar10 fine-tuned 100} on CIFAR-10 at 100 labels per class "
    "(random weights: {patch_ae_cifar10 cifar10 random 100}), and {patch_ae_cifar10 "
    "cifar10 tuned probe all} with a tuned probe of all labels (pixels: {cifar10 "
    "pixels all}).",
    "With unlabelled images beside the labelled ones, frozen features of "
    "`patch_ae_mnist` give {patch_ae_mnist mnist spread 1} of the digits from one of "
    "each class, and {patch_ae_mnist mnist spread 10} from ten.",
    "On one small convolutional network, objectives hardly differ: at 100 labels per "
    f"class, a tuned probe of plain codes gives {{{_PLAIN} mnist tuned probe 100}}, of "
    f"denoising ones {{{_PLAIN}_denoising mnist tuned probe 100}}, of sparse ones "
    f"{{{_PLAIN}_sparse mnist tuned probe 100}}, of contractive ones "
    "{contractive_conv_ae_mnist mnist tuned probe 100}, of variational ones "
    "{conv_vae_mnist mnist tuned probe 100}; random weights, trained, give "
    f"{{{_PLAIN} mnist random 100}}. With fewer labels, the luck of the draw is larger "
    "than the gain.",
    "To tell digits, at 100 labels per class, an encoder of other alphabets "
    "(Omniglot) gives {conv_vae_omniglot_z32 mnist fine-tuned 100}, of digits "
    f"{{{_PLAIN} mnist fine-tuned 100}}, of clothes {{{_CLOTHES} mnist fine-tuned "
    f"100}}; to tell clothes, one of digits gives {{{_PLAIN} fashion_mnist fine-tuned "
    f"100}}, of clothes {{{_CLOTHES} fashion_mnist fine-tuned 100}}.",
    "What does not transfer: the ResNet-18-shaped denoising autoencoder of CIFAR-10. "
    "On CIFAR-10 it gives {resnet_ae_cifar10_resnet18 cifar10 fine-tuned 100} at 100 "
    "labels per class (random weights: {resnet_ae_cifar10_resnet18 cifar10 random "
    "100}), on digits {resnet_ae_cifar10_resnet18 mnist fine-tuned 10} at ten (random "
    "weights: {resnet_ae_cifar10_resnet18 mnist random 10}).",
)


# --- Methods ---------------------------------------------------------------------


def draw_labelled(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Rows of so many examples of each class, drawn by seed.

    Args:
        labels: Integers, `(n,)`.
        per_class: How many of each; 0 is all.
        seed: Of the draw.

    Returns:
        Rows, by class; `(classes * per_class,)`.

    Raises:
        DatasetError: If a class has fewer.
    """
    if per_class == ALL:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    rows = []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count < per_class:
            raise DatasetError(
                f"Class {label} has {count} labels; {per_class} were asked for. Ask "
                "for fewer."
            )
        of_class = np.flatnonzero(labels == label)
        rows.append(generator.choice(of_class, per_class, replace=False))
    return np.concatenate(rows)


class Features:
    """Features of training and test images, standardised by all training images."""

    def __init__(self, train: np.ndarray, test: np.ndarray) -> None:
        self.train = train.reshape(len(train), -1).astype("float32")
        self.test = test.reshape(len(test), -1).astype("float32")
        self.mean, self.std = self.train.mean(axis=0), self.train.std(axis=0)
        self.std[self.std < 1e-6] = 1.0
        for values in (self.train, self.test):
            values -= self.mean
            values /= self.std

    @cached_property
    def components(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of unit length: neighbours are found among these."""
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import normalize

        units = min(COMPONENTS, *self.train.shape)
        model = PCA(units, svd_solver="randomized", random_state=0)
        train = normalize(model.fit_transform(self.train))
        return train, normalize(model.transform(self.test))

    @cached_property
    def graph(self) -> Any:
        """Nearest neighbours of training images, either way; the nearer, the heavier.

        Returns:
            Sparse matrix of Gaussian weights, whose scale is the mean distance.
        """
        from sklearn.neighbors import kneighbors_graph

        graph = kneighbors_graph(self.components[0], NEIGHBOURS, mode="distance")
        graph.data = np.exp(-2 * np.square(graph.data / graph.data.mean()))
        return graph.maximum(graph.T)


def fit_probe(features: np.ndarray, labels: np.ndarray) -> Any:
    """Logistic regression; from 1,000 labels on its penalty is chosen by some of them.

    Args:
        features: Standardised features, `(n, d)`.
        labels: Integers, `(n,)`.

    Returns:
        The fitted `sklearn.linear_model.LogisticRegression`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    def fit(strength: float, x: np.ndarray, y: np.ndarray) -> Any:
        return LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(x, y)

    if len(labels) < 1_000:
        return fit(1.0, features, labels)
    x, x_held, y, y_held = train_test_split(
        *(features, labels),
        train_size=min(len(labels) * 9 // 10, 10_000),
        test_size=min(len(labels) // 10, 5_000),
        random_state=0,
        stratify=labels,
    )
    scores = {
        strength: fit(strength, x, y).score(x_held, y_held) for strength in STRENGTHS
    }
    return fit(max(scores, key=lambda strength: scores[strength]), features, labels)


class Spread(NamedTuple):
    """Labels that a few labelled images gave to all.

    Attributes:
        train: Of the training images, `(n,)`.
        test: Of the test images.
    """

    train: np.ndarray
    test: np.ndarray


def spread_labels(features: Features, rows: np.ndarray, labels: np.ndarray) -> Spread:
    """Label spreading from a few training images to all, and on to the test images.

    Zhou et al. (2004), "Learning with local and global consistency", with the class
    mass normalisation of Zhu et al. (2003): no class may take more than its share.

    Args:
        features: Of which the graph of nearest neighbours is made.
        rows: The training images with a label.
        labels: Their labels.

    Returns:
        Labels of the training images, those with a label included; and of the test
        images, which take no part in the graph, those of their nearest neighbours.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.semi_supervised import LabelSpreading

    train, test = features.components
    known = np.full(len(train), -1)
    known[rows] = labels
    model = LabelSpreading(
        kernel=lambda *_: features.graph, alpha=0.99, max_iter=SPREADING_ROUNDS
    )
    with warnings.catch_warnings():  # so many rounds are enough to rank the classes
        warnings.simplefilter("ignore", ConvergenceWarning)
        shares = model.fit(train, known).label_distributions_
    shares = shares / np.maximum(shares.sum(axis=0), 1e-12)
    spread = model.classes_[shares.argmax(axis=1)]
    nearest = KNeighborsClassifier(NEIGHBOURS, weights="distance").fit(train, spread)
    return Spread(spread, nearest.predict(test))


class Network:
    """A classifier on an encoder, whose training starts anew as often as asked."""

    def __init__(self, backbone: keras.Model, num_classes: int) -> None:
        self.backbone = backbone
        self.pretrained = backbone.get_weights()
        self.head = keras.layers.Dense(num_classes)
        self.model = keras.Sequential(
            [
                keras.Input(backbone.modality.shape, dtype="uint8"),
                *(backbone, keras.layers.Flatten(), self.head),
            ]
        )
        self.model.compile(
            keras.optimizers.Adam(LEARNING_RATE),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.model.optimizer.build(self.model.trainable_variables)

    def start_pretrained(self, probe: Any, features: Features, seed: int) -> None:
        """Start from the pretrained encoder, and a head that answers as a probe."""
        self._start(self.pretrained, seed)
        kernel = probe.coef_.T / features.std[:, None]
        self.head.set_weights([kernel, probe.intercept_ - features.mean @ kernel])

    def start_random(self, seed: int) -> None:
        """Start from random weights, as the family's own training does."""
        keras.utils.set_random_seed(seed)
        fresh = type(self.backbone).from_config(self.backbone.get_config())
        fresh.build((None, *fresh.modality.shape))
        self._start(fresh.get_weights(), seed)
        shape = tuple(self.head.kernel.shape)
        kernel = keras.initializers.GlorotUniform(seed)(shape)
        self.head.set_weights([kernel, np.zeros(shape[-1])])

    def _start(self, weights: Sequence[np.ndarray], seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self.backbone.set_weights(weights)
        optimizer = self.model.optimizer
        for variable in optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        optimizer.learning_rate = LEARNING_RATE  # is one of them

    def train(
        self, images: np.ndarray, labels: np.ndarray, steps: int, seed: int
    ) -> None:
        """Adam on batches of labelled images, each pass over them in another order."""
        batch = min(BATCH_SIZE, len(images))
        generator = np.random.default_rng(seed)
        passes = -(-steps * batch // len(images))
        rows = np.concatenate(
            [generator.permutation(len(images)) for _ in range(passes)]
        )
        rows = rows[: steps * batch]
        self.model.fit(
            images[rows], labels[rows], batch_size=batch, shuffle=False, verbose=0
        )

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Classes of images, `(n,)`."""
        logits = self.model.predict(images, batch_size=500, verbose=0)
        return np.asarray(logits.argmax(axis=-1))


# --- Runs ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Run:
    """One row of the results, before it is measured."""

    pair: Pair
    method: str
    labels_per_class: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of gradient descent through the encoder."""
        return STEPS[self.labels_per_class] if self.method in TRAINED else 0

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify it."""
        pair = self.pair
        source = pair.source if self.method not in FREE else ""
        where = [source, pair.target, pair.where if source else "", self.method]
        return (*where, str(self.labels_per_class), str(self.seed))


def runs_of(pair: Pair, seeds: int) -> Iterator[Run]:
    """All runs of a pair. What all labels decide without chance runs once."""
    for method in pair.methods:
        is_trained = method in TRAINED
        for budget in pair.trained_budgets if is_trained else BUDGETS:
            if budget == ALL and method in SPREADING:  # no image is without a label
                continue
            is_fixed = budget == ALL and not is_trained
            for seed in range(1 if is_fixed else seeds):
                yield Run(pair, method, budget, seed)


class Laboratory:
    """What the runs of a pair share: data, features and networks."""

    def __init__(self, pair: Pair, data_dir: Path | None = None) -> None:
        self.pair = pair
        self.train, self.labels = load_labelled(pair.target, "train", data_dir)
        self.test, self.test_labels = load_labelled(pair.target, "test", data_dir)
        self.backbone = aezoo.feature_extractor(
            pair.source,
            trainable=True,
            layer=pair.layer,
            pooling=pair.pooling,
            input_shape=self.train.shape[1:],
            convert_channels=True,
        )

    @cached_property
    def network(self) -> Network:
        """The classifier."""
        return Network(self.backbone, len(np.unique(self.labels)))

    @cached_property
    def features(self) -> Features:
        """Of the pretrained encoder."""
        return self._of(lambda x: self.backbone.predict(x, batch_size=500, verbose=0))

    @cached_property
    def pixels(self) -> Features:
        """The images themselves."""
        return self._of(lambda x: x)

    @cached_property
    def components(self) -> Features:
        """Principal components of the training images."""
        from sklearn.decomposition import PCA

        model = PCA(COMPONENTS, svd_solver="randomized", random_state=0)
        model.fit(self.train.reshape(len(self.train), -1))
        return self._of(lambda x: model.transform(x.reshape(len(x), -1)))

    def _of(self, function: Callable[[np.ndarray], np.ndarray]) -> Features:
        return Features(function(self.train), function(self.test))

    def predict(self, run: Run) -> np.ndarray:
        """Classes of the test images, as a run's method learns to tell them."""
        rows = draw_labelled(self.labels, run.labels_per_class, run.seed)
        labels = self.labels[rows]
        if run.method in ("spread", "pca spread"):
            return spread_labels(self._features_of(run), rows, labels).test
        if run.method in ("pixels", "pca", "tuned probe"):
            features = self._features_of(run)
            probe = fit_probe(features.train[rows], labels)
            return np.asarray(probe.predict(features.test))
        if run.method.startswith("random"):
            self.network.start_random(run.seed)
        else:
            probe = fit_probe(self.features.train[rows], labels)
            self.network.start_pretrained(probe, self.features, run.seed)
        if run.method in SPREADING:
            images = self.train
            labels = spread_labels(self._features_of(run), rows, labels).train
        else:
            images = self.train[rows]
        self.network.train(images, labels, run.steps, run.seed)
        return self.network.predict(self.test)

    def _features_of(self, run: Run) -> Features:
        """What a method sees of an image, before any training."""
        if run.method == "pixels":
            return self.pixels
        is_pretrained = run.method in ("tuned probe", "spread", "self-trained")
        return self.features if is_pretrained else self.components


def load_labelled(
    name: str, split: str, data_dir: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a dataset.

    Raises:
        DatasetError: If it has no labels.
    """
    data = datasets.load_dataset(name, split, data_dir)
    if data.labels is None:
        raise DatasetError(f"The dataset {data.key!r} has no labels to learn.")
    return data.examples, data.labels


def measure(pair: Pair, seeds: int, results: Path, data_dir: Path | None) -> None:
    """Run what a pair lacks, and append each figure as soon as it is there."""
    done = {tuple(row[name] for name in COLUMNS[:6]) for row in read_results(results)}
    missing = [run for run in runs_of(pair, seeds) if run.key not in done]
    if not missing:
        return
    laboratory = Laboratory(pair, data_dir)
    for run in missing:
        start = time.monotonic()
        accuracy = float(np.mean(laboratory.predict(run) == laboratory.test_labels))
        seconds = time.monotonic() - start
        append_result(
            results, (*run.key, f"{accuracy:.4f}", run.steps, f"{seconds:.1f}")
        )
        click.echo(f"{' '.join(run.key)}: {accuracy:.4f} ({seconds:.0f} s)")


def read_results(path: Path = RESULTS) -> list[dict[str, str]]:
    """The rows that were measured; none where nothing was."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append_result(path: Path, row: Sequence[Any]) -> None:
    """Add one row, whole, beside others that may be running."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        filelock.FileLock(f"{path}.lock"),
        path.open("a", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerow(row)


# --- Report ----------------------------------------------------------------------


# What a row of the table is: source, target, layer, method.
Row: TypeAlias = tuple[str, str, str, str]


def summarise(rows: Iterable[Mapping[str, str]]) -> dict[Row, dict[int, Estimate]]:
    """Means and intervals by source, target, layer and method, then by labels.

    In the order of `PAIRS` and `METHODS`, what has no network first.
    """
    found: dict[Row, dict[int, list[float]]] = {}
    for row in rows:
        key = (row["source"], row["target"], row["layer"], row["method"])
        budgets = found.setdefault(key, {})
        budgets.setdefault(int(row["labels_per_class"]), []).append(
            float(row["accuracy"])
        )
    sources = ["", *dict.fromkeys(pair.source for pair in PAIRS)]
    return {
        key: {n: mean(found[key][n]) for n in BUDGETS if n in found[key]}
        for key in sorted(
            found, key=lambda key: (sources.index(key[0]), METHODS.index(key[3]))
        )
    }


def percent(accuracy: Estimate) -> str:
    """An accuracy over draws of labels, as in the table: `91.2 ± 0.8`."""
    text = f"{100 * accuracy.value:.1f}"
    if accuracy.half_width is None:
        return text
    return f"{text} ± {100 * accuracy.half_width:.1f}"


def is_above_random(
    row: Row, budget: int, summaries: Mapping[Row, Mapping[int, Estimate]]
) -> bool:
    """Whether a row's interval lies above that of its network from random weights.

    Never with all labels: there the random weights see less than an epoch of them, so
    that what they reach says how short the training is.
    """
    source, target, layer, method = row
    if budget == ALL or method in FREE or method.startswith("random"):
        return False
    networks = {pair.source: pair.network or pair.source for pair in PAIRS}
    others = [
        budgets[budget]
        for (name, *rest), budgets in summaries.items()
        if rest == [target, layer, "random"]
        and networks[name] == networks[source]
        and budget in budgets
    ]
    own = summaries[row][budget]
    return any(own.low > other.high for other in others)


def epochs_of_all(num_images: int) -> float:
    """Passes over a training split that networks make where all labels are known."""
    return STEPS[ALL] * BATCH_SIZE / num_images


def lessons(summaries: Mapping[Row, Mapping[int, Estimate]]) -> list[str]:
    """What the runs teach, each a paragraph whose accuracies are measured ones.

    Raises:
        ValueError: If a field names what was not run.
    """
    by_run = {
        f"{source} {target} {method} {labels or 'all'}".strip(): accuracy
        for (source, target, _, method), budgets in summaries.items()
        for labels, accuracy in budgets.items()
    }

    def fill(lesson: str) -> str:
        parts = []
        for literal, field, *_ in string.Formatter().parse(lesson):
            if field is not None and field not in by_run:
                raise ValueError(
                    "A field of a lesson must be a run, as `source target method "
                    f"labels`. Received: {field!r}."
                )
            parts += [literal, f"{percent(by_run[field])} %" if field else ""]
        return "".join(parts)

    return [fill(lesson) for lesson in LESSONS]


def draw(target: str, summaries: Mapping[Row, Mapping[int, Estimate]]) -> Any:
    """Accuracy over labels per class: by method, and by the weights one starts from.

    Args:
        target: The dataset whose rows are drawn.
        summaries: As `summarise` returns them.

    Returns:
        The matplotlib figure. On the left, all methods with the weights that have most
        of them; on the right, what is fine-tuned from each.
    """
    rows = {key: budgets for key, budgets in summaries.items() if key[1] == target}
    counts = Counter(source for source, *_ in rows if source)
    most, _ = counts.most_common(1)[0]
    methods = {
        method: budgets
        for (source, _, _, method), budgets in rows.items()
        if source in ("", most)
    }
    starts = {
        source if method == "fine-tuned" else f"random, as {source}": budgets
        for (source, _, _, method), budgets in rows.items()
        if method in ("fine-tuned", "random")
    }
    figure = plots.new_figure(14.0, 5.0)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, title, curves in zip(
        panels, (most, "fine-tuned from"), (methods, starts), strict=True
    ):
        _draw_curves(axes, curves)
        axes.set(xscale="log", xlabel="labels per class", title=f"{target}: {title}")
        axes.set_xticks(FEW, [str(budget) for budget in FEW])
        axes.legend(fontsize="small", loc="lower right")
    panels[0].set_ylabel("accuracy on the test split (%), 95 % interval")
    return figure


def _draw_curves(axes: Any, curves: Mapping[str, Mapping[int, Estimate]]) -> None:
    for i, (label, budgets) in enumerate(curves.items()):
        few = {budget: value for budget, value in budgets.items() if budget != ALL}
        axes.errorbar(
            # side by side, so that no interval hides another
            [budget * 1.03 ** (i - len(curves) / 2) for budget in few],
            [100 * value.value for value in few.values()],
            [100 * (value.half_width or 0.0) for value in few.values()],
            label=label,
            color=f"C{i % 10}",
            linestyle=":" if "random" in label or label in FREE else "-",
            marker="o",
            markersize=3.0,
            capsize=2.0,
        )


# --- Command ---------------------------------------------------------------------


@click.command(help=__doc__)
@click.option("--source", default="*", help="Only weights that match a pattern.")
@click.option("--target", default="*", help="Only datasets that match a pattern.")
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Of TFDS.")
def main(
    source: str, target: str, seeds: int, results: Path, data_dir: Path | None
) -> None:
    """Command line of `measure`."""
    chosen = [
        pair
        for pair in PAIRS
        if fnmatch.fnmatch(pair.source, source) and fnmatch.fnmatch(pair.target, target)
    ]
    if not chosen:
        raise click.ClickException(f"No pair is like {source!r} and {target!r}.")
    try:
        plots.require_matplotlib()  # before anything is measured
        for pair in chosen:
            measure(pair, seeds, results, data_dir)
        if results == RESULTS:
            summaries = summarise(read_results())
            FIGURES.mkdir(parents=True, exist_ok=True)
            for name in sorted({pair.target for pair in chosen}):
                plots.save_figure(draw(name, summaries), FIGURES / f"{name}.png")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
