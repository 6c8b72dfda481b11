"""Batches of images for training."""

import keras
import numpy as np


class ShuffledImages(keras.utils.PyDataset):
    """Batches of images in an order that depends on the seed and the epoch alone.

    A training that was killed and resumed in epoch 7 so sees what an uninterrupted
    one sees. Set `epoch` before each epoch, and `first` to go on in its middle.

    Args:
        images: Array `(n, height, width, channels)`.
        batch_size: Images per batch; the last batch may be shorter.
        seed: Seed of the order.
        labels: Integers `(n,)` to serve beside the images, or None.
        steps: Batches in an epoch, the first of its order; None for all.

    Attributes:
        epoch: The epoch whose order is served, from 0.
        first: Batches of the epoch that are left out, as they were learnt from before.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int,
        labels: np.ndarray | None = None,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.images = images
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed
        passes = -(-len(images) // batch_size)
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
        self._order = generator.permutation(len(self.images))

    def __len__(self) -> int:
        return self.steps - self.first

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        start = (self.first + index) * self.batch_size
        rows = self._order[start : start + self.batch_size]
        if self.labels is None:
            return (self.images[rows],)
        return self.images[rows], self.labels[rows]
