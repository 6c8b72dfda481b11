"""Samples that a classifier is sure of, out of more than are wanted."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from aezoo.modalities.image.extractors import load_extractor
from aezoo.models.autoencoder import Autoencoder
from aezoo.samplers.base import log_sum_exp
from aezoo.utils.validation import check_number, check_positive_int


def rejection_sample(
    model: Autoencoder,
    n: int,
    seed: int | None = None,
    *,
    classifier: str | Callable[[np.ndarray], Any],
    keep: float = 0.5,
    labels: Any = None,
    **options: Any,
) -> np.ndarray:
    """Draw more images than wanted, and keep those that a classifier is surest of.

    Classifier-based rejection sampling, of Razavi et al. (2019), section 3.4
    (https://arxiv.org/abs/1906.00446): the smaller `keep`, the better the images are
    recognised, and the less they vary. For any model and sampler.

    Args:
        model: What samples.
        n: Number of images to keep.
        seed: As in `model.sample`.
        classifier: Name of one of the zoo's classifiers, e.g. `"lenet_mnist_v1"`, or a
            function from images, float32 in [0, 1], `(m, *input_shape)`, to logits
            `(m, num_classes)`.
        keep: Share of the images that is kept, above 0 and at most 1.
        labels: Classes as in `model.sample`: of the images of each class, those are
            kept that are most probably of it. None keeps those of the highest
            probability of any class.
        **options: Of `model.sample`, e.g. `sampler="autoregressive"`.

    Returns:
        Float32 in [0, 1], `(n, *input_shape)`; the surest first, with `labels` those
        of each class.

    Raises:
        ValueError: If an argument is invalid, or the classifier has no such class.

    Example:
        >>> model = aezoo.load("conv_vae_mnist_z16")
        >>> aezoo.rejection_sample(model, 16, classifier="lenet_mnist_v1").shape
        (16, 28, 28, 1)
    """
    check_positive_int("n", n)
    check_number("keep", keep, above=0.0, high=1.0)
    if isinstance(classifier, str):
        classifier = load_extractor(classifier).logits
    if labels is None:
        images = model.sample(math.ceil(n / keep), seed, **options)
        return images[_highest(_log_probabilities(classifier, images).max(axis=1), n)]
    wanted = np.asarray(labels)
    if wanted.dtype.kind not in "iu" or wanted.shape not in ((), (n,)):
        raise ValueError(
            f"`labels` must be {n} integers, or one for all. Received: "
            f"labels.shape={wanted.shape}, dtype={wanted.dtype}."
        )
    wanted = np.broadcast_to(wanted, (n,))
    classes, counts = np.unique(wanted, return_counts=True)
    drawn = np.repeat(classes, [math.ceil(count / keep) for count in counts])
    images = model.sample(len(drawn), seed, labels=drawn, **options)
    log_p = _log_probabilities(classifier, images)
    if classes[0] < 0 or classes[-1] >= log_p.shape[1]:
        raise ValueError(
            f"`labels` must be classes of the classifier, 0 to {log_p.shape[1] - 1}. "
            f"Received: {classes[0]} to {classes[-1]}."
        )
    kept = np.empty(n, "int64")
    for label, count in zip(classes, counts, strict=True):
        of_class = np.flatnonzero(drawn == label)
        kept[wanted == label] = of_class[_highest(log_p[of_class, label], count)]
    return images[kept]


def _log_probabilities(
    classifier: Callable[[np.ndarray], Any], images: np.ndarray
) -> np.ndarray:
    """Of each class, `(n, num_classes)`."""
    logits = ops.convert_to_numpy(classifier(images)).astype("float64")
    if logits.ndim != 2 or len(logits) != len(images):
        raise ValueError(
            f"`classifier` must return logits of shape ({len(images)}, num_classes). "
            f"Received: shape={logits.shape}."
        )
    return logits - log_sum_exp(logits)[:, None]


def _highest(values: np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` highest, the highest first; of equal ones, the first."""
    return np.argsort(-values, kind="stable")[:n]
