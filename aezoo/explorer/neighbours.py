"""Neighbours among the codes of training data, where that data is on the machine."""

import dataclasses
import threading

import numpy as np

from aezoo.data.datasets import load_dataset
from aezoo.errors import UnsupportedOperationError
from aezoo.explorer.shelf import Opened
from aezoo.explorer.views import ROW_HEIGHT, Answer, show
from aezoo.features.search import nearest

# Training examples that are searched, and how many are shown.
SEARCHED, SHOWN = 2000, 8


@dataclasses.dataclass(frozen=True)
class _Known:
    name: str
    x: np.ndarray
    codes: np.ndarray


class Neighbours:
    """The codes of the training examples of one model at a time."""

    def __init__(self) -> None:
        self._known: _Known | None = None
        self._lock = threading.Lock()

    def of(self, opened: Opened, x: np.ndarray) -> Answer:
        """The training examples whose codes are nearest to that of an example.

        Args:
            opened: The model.
            x: The example, `(1, *input_shape)`.

        Raises:
            UnsupportedOperationError: If nobody says what the model was trained on.
            DatasetError: If that dataset is not on this machine; says how to get it.
            MissingDependencyError: If scikit-learn is not installed.
        """
        with self._lock:
            if self._known is None or self._known.name != opened.name:
                self._known = _read(opened)
            known = self._known
        z = opened.model.encode(x).reshape(1, -1)
        found = nearest(z, known.codes, SHOWN, "euclidean")
        distances = ", ".join(f"{d:.3g}" for d in found.distances[0])
        return show(
            opened,
            known.x[found.indices[0]],
            "from aezoo.features.search import nearest\n"
            "codes = model.encode(training_examples)\n"
            f'nearest(model.encode(x), codes, {SHOWN}, "euclidean").indices',
            columns=1 if opened.is_text else SHOWN,
            height=ROW_HEIGHT,
            note=f"Of the first {len(known.x)} training examples, the nearest first; "
            f"distances {distances}.",
        )


def _read(opened: Opened) -> _Known:
    if opened.dataset is None:
        raise UnsupportedOperationError(
            f"Nobody says what {opened.name!r} was trained on, so there are no "
            "training codes to search."
        )
    modality = opened.model.modality
    x = modality.check(load_dataset(opened.dataset, "train").take(SEARCHED).examples)
    return _Known(opened.name, x, opened.model.encode(x).reshape(len(x), -1))
