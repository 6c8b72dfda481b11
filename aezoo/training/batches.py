"""Batches of shuffled examples, for training."""

import math
from collections.abc import Mapping

import numpy as np

from aezoo.models.passes import OrderedBatches


class ShuffledExamples(OrderedBatches):
    """Batches of examples in an order that depends on the seed and the epoch alone.

    A training that was killed and resumed in epoch 7 so sees what an uninterrupted
    one sees. Set `epoch` before each epoch, and `first` to go on in its middle.

    Args:
        examples: Array `(n, *shape)`.
        batch_size: Examples per batch; the last batch may be shorter.
        seed: Seed of the order.
        labels: Integers `(n,)` to serve beside the examples, or such by name; or None.
        steps: Batches in an epoch, the first of its order; None for as many as hold
            all examples.
        sizes: Elements of each example `(n,)`, to have those of similar size together,
            so that little is computed of what fills the shorter ones; or None.
        grid: Rows by their factors, and how many values of each make a grid, as
            `by_grid` takes them; a batch is made of whole ones. Or None.

    Attributes:
        epoch: The epoch whose order is served, from 0.
        first: Batches of the epoch that are left out, as they were learnt from before.
    """

    def __init__(
        self,
        examples: np.ndarray,
        batch_size: int,
        seed: int,
        labels: np.ndarray | Mapping[str, np.ndarray] | None = None,
        steps: int | None = None,
        sizes: np.ndarray | None = None,
        grid: tuple[np.ndarray, tuple[int, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.examples = examples
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed
        self.sizes = sizes
        self.grid = grid
        passes = -(-len(examples) // batch_size)
        self.steps = passes
        if steps is not None:
            self.steps = min(steps, passes) if grid is None else steps
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
        if self.grid is not None:
            table, counts = self.grid
            grids = self.steps * self.batch_size // math.prod(counts)
            self._order = by_grid(table, counts, grids, generator)
            return
        order = generator.permutation(len(self.examples))
        if self.sizes is not None:
            order = by_size(order, self.sizes, self.batch_size, generator)
        self._order = order

    @property
    def rows(self) -> np.ndarray:
        """Of which examples the epoch's batches are, from `first` on."""
        rows: np.ndarray = self._order[: self.steps * self.batch_size]
        return rows[self.first * self.batch_size :]


def by_grid(
    table: np.ndarray,
    counts: tuple[int, ...],
    count: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """An order of grids: all combinations of a few values of each factor.

    Args:
        table: The row of each combination of values: an axis per factor.
        counts: Values of each factor in a grid.
        count: Grids.
        generator: Source of which values.
    """
    grids = []
    for _ in range(count):
        values = [
            generator.choice(size, chosen, replace=False)
            for size, chosen in zip(table.shape, counts, strict=True)
        ]
        grids.append(table[np.ix_(*values)].reshape(-1))
    return np.concatenate(grids)


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
