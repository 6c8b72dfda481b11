"""Least error that codes of so many bits could have, were images Gaussian.

    python -m benchmarks.rate_distortion vq_vae_cifar10 vq_vae_2_cifar10

For each model of discrete codes: the bits of one image's codes, the stated error, and
the distortion-rate function of a Gaussian with the covariance of the test images,
by reverse water-filling over its eigenvalues (Cover & Thomas, 2006, theorem 10.3.3). Of
all sources with that covariance, the Gaussian's is the largest: no coder of long blocks
needs more, and few coders of single images come close to it. Prints Markdown.
"""

import argparse
import math

import numpy as np

from benchmarks.common import markdown_table


def least_error(eigenvalues: np.ndarray, bits: float) -> float:
    """Distortion of a Gaussian at a rate: the sum over all components.

    Args:
        eigenvalues: Of the covariance, `(components,)`.
        bits: Rate of a vector.
    """
    low, high = 0.0, float(eigenvalues.max())
    for _ in range(200):  # bisection of the water level
        level = 0.5 * (low + high)
        rate = 0.5 * np.log2(np.maximum(eigenvalues / level, 1.0)).sum()
        low, high = (level, high) if rate > bits else (low, level)
    return float(np.minimum(eigenvalues, high).sum())


def main() -> None:
    """Print a row per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="models of discrete codes")
    args = parser.parse_args()
    import aezoo
    from aezoo.data.datasets import load_dataset

    rows = []
    for name in args.names:
        entry, model = aezoo.describe(name), aezoo.load(name)
        images = load_dataset(entry.data.name, "test").examples
        x = images.reshape(len(images), -1) / np.float32(255.0)
        x -= x.mean(axis=0)
        eigenvalues = np.maximum(np.linalg.eigvalsh(x.T @ x / len(x)), 1e-12)
        low, stop = model.index_bounds
        sizes = np.broadcast_to(stop - low, model.latent_shape[:-1])
        bits = float(np.log2(sizes).sum())
        least = least_error(eigenvalues, bits) / x.shape[1]
        stated = entry.metric("mse").value
        pixels = math.prod(model.input_shape)
        rows.append([name, f"{bits:.1f}", f"{bits / pixels:.3f}"])
        rows[-1] += [f"{stated:.5f}", f"{least:.5f}", f"{stated / least:.2f}"]
    header = ["model", "bits", "bits/pixel", "MSE", "Gaussian's", "ratio"]
    print("## Error at a number of bits\n")
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
