"""How near trajectories come to each other, and what samples cover of the futures."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from aezoo.evaluation.context import Chunk, Evaluation
from aezoo.evaluation.definition import Result
from aezoo.metrics.motion import RADIUS, SAMPLES_OF_SCENE

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def displacement(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean over steps of the distance of trajectories `(..., steps, 2)`, metres."""
    apart = np.linalg.norm(x - other, axis=-1)
    return np.asarray(apart.mean(axis=-1, dtype="float64"))


def final_displacement(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distance of the last steps of trajectories `(..., steps, 2)`, metres."""
    apart = np.linalg.norm(x[..., -1, :] - other[..., -1, :], axis=-1)
    return np.asarray(apart, "float64")


def ade(chunk: Chunk) -> np.ndarray:
    """Average displacement of each reconstruction, `(n,)`."""
    return displacement(chunk.examples, chunk.x_hat)


def fde(chunk: Chunk) -> np.ndarray:
    """Final displacement of each reconstruction, `(n,)`."""
    return final_displacement(chunk.examples, chunk.x_hat)


@dataclasses.dataclass(frozen=True)
class Scene:
    """What happened in a scene, and what a model holds possible.

    Attributes:
        futures: `(number, steps, 2)`.
        samples: `(SAMPLES_OF_SCENE, steps, 2)`.
    """

    futures: np.ndarray
    samples: np.ndarray

    def apart(self, distance: Distance) -> np.ndarray:
        """Distance of each future to each sample, `(futures, samples)`."""
        return distance(self.futures[:, None], self.samples[None])


def scenes(evaluation: Evaluation, sampler: str) -> list[Scene]:
    """The futures and samples of each scene, drawn once."""
    return evaluation.cached(
        ("scenes", sampler), lambda: list(_scenes(evaluation, sampler))
    )


def _scenes(evaluation: Evaluation, sampler: str) -> Iterator[Scene]:
    rows_of = rows_by_condition(evaluation.given, len(evaluation))
    first = np.repeat([rows[0] for rows in rows_of], SAMPLES_OF_SCENE)
    drawn = evaluation.model.sample(
        len(first),
        seed=evaluation.seed,
        sampler=sampler,
        given={name: value[first] for name, value in evaluation.given.items()},
    )
    samples = evaluation.modality.check(drawn)
    for number, rows in enumerate(rows_of):
        start = number * SAMPLES_OF_SCENE
        yield Scene(
            evaluation.examples[rows], samples[start : start + SAMPLES_OF_SCENE]
        )


def rows_by_condition(given: dict[str, np.ndarray], n: int) -> list[np.ndarray]:
    """Which of `n` examples were told the same, in the order of their first one."""
    found: dict[tuple[bytes, ...], list[int]] = {}
    for row in range(n):
        key = tuple(value[row].tobytes() for value in given.values())
        found.setdefault(key, []).append(row)
    return [np.array(rows) for rows in found.values()]


def best_ade(evaluation: Evaluation, sampler: str) -> Result:
    """Average displacement of each future to the nearest sample."""
    return _best(evaluation, sampler, displacement)


def best_fde(evaluation: Evaluation, sampler: str) -> Result:
    """Final displacement of each future to the nearest sample."""
    return _best(evaluation, sampler, final_displacement)


def _best(evaluation: Evaluation, sampler: str, distance: Distance) -> Result:
    return _over_scenes(
        [s.apart(distance).min(axis=1) for s in scenes(evaluation, sampler)]
    )


def futures_covered(evaluation: Evaluation, sampler: str) -> Result:
    """Share of futures near a sample, by average displacement."""
    return _covered(evaluation, sampler, displacement, axis=1)


def samples_covered(evaluation: Evaluation, sampler: str) -> Result:
    """Share of samples near a future, by average displacement."""
    return _covered(evaluation, sampler, displacement, axis=0)


def futures_covered_at_the_end(evaluation: Evaluation, sampler: str) -> Result:
    """Share of futures near a sample, by final displacement."""
    return _covered(evaluation, sampler, final_displacement, axis=1)


def samples_covered_at_the_end(evaluation: Evaluation, sampler: str) -> Result:
    """Share of samples near a future, by final displacement."""
    return _covered(evaluation, sampler, final_displacement, axis=0)


def _covered(
    evaluation: Evaluation, sampler: str, distance: Distance, axis: int
) -> Result:
    nearest = [s.apart(distance).min(axis=axis) for s in scenes(evaluation, sampler)]
    return _over_scenes([(row <= RADIUS).astype("float64") for row in nearest])


def _over_scenes(values: list[np.ndarray]) -> Result:
    """The mean over all, with a standard error over scenes where there are several."""
    counts = np.array([len(row) for row in values])
    means = np.array([row.mean() for row in values])
    mean = float(np.average(means, weights=counts))
    error = None
    if len(values) > 1:
        weights = counts / counts.sum()
        residuals = weights * (means - mean)
        n = len(values)
        error = float(np.sqrt(n / (n - 1) * np.sum(np.square(residuals))))
    return Result(mean, error)
