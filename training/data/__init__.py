"""Batches for training, and a builder for each dataset that TFDS does not have."""

import keras
import numpy as np


class ShuffledExamples(keras.utils.PyDataset):
    """Batches of examples in an order that depends on the seed and the epoch alone.

    A training that was killed and resumed in epoch 7 so sees what an uninterrupted
    one sees. Set `epoch` before each epoch, and `first` to go on in its middle.

    Args:
        examples: Array `(n, *shape)`.
        batch_size: Examples per batch; the last batch may be shorter.
        seed: Seed of the order.
        labels: Integers `(n,)` to serve beside the examples, or None.
        steps: Batches in an epoch, the first of its order; None for all.
        sizes: Elements of each example `(n,)`, to have those of similar size together,
            so that little is computed of what fills the shorter ones; or None.

    Attributes:
        epoch: The epoch whose order is served, from 0.
        first: Batches of the epoch that are left out, as they were learnt from before.
    """

    def __init__(
        self,
        examples: np.ndarray,
        batch_size: int,
        seed: int,
        labels: np.ndarray | None = None,
        steps: int | None = None,
        sizes: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.examples = examples
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed
        self.sizes = sizes
        passes = -(-len(examples) // batch_size)
        self.steps = passes if steps is None else min(steps, passes)
        self.epoch = 0
        self.first = 0

    @property
    def epoch(self) -> int:
        """The epoch whose order is served."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(self.examples))
        if self.sizes is not None:
            order = by_size(order, self.sizes, self.batch_size, generator)
        self._order = order

    def __len__(self) -> int:
        return self.steps - self.first

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        start = (self.first + index) * self.batch_size
        rows = self._order[start : start + self.batch_size]
        if self.labels is None:
            return (self.examples[rows],)
        return self.examples[rows], self.labels[rows]


# Batches among whose examples those of similar size are brought together.
WINDOW = 50


def by_size(
    order: np.ndarray,
    sizes: np.ndarray,
    batch_size: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """An order in which batches hold examples of similar size, in random succession.

    Args:
        order: Indices in random order; the last batch may be shorter, and stays.
        sizes: Elements of each example.
        batch_size: Examples per batch.
        generator: Source of the succession.
    """
    whole = len(order) // batch_size * batch_size
    window = WINDOW * batch_size
    parts = []
    for start in range(0, whole, window):
        rows = order[start : min(start + window, whole)]
        rows = rows[np.argsort(sizes[rows], kind="stable")]
        batches = rows.reshape(-1, batch_size)
        parts.append(generator.permutation(batches).reshape(-1))
    return np.concatenate([*parts, order[whole:]])
