"""Colours from grey: one guess beside many answers.

    python -m benchmarks.colours

On test images of CIFAR-10, whose grey values are known: peak signal-to-noise ratio of
what `restoration_cifar10_color` guesses; and, of `restoration_vae_cifar10_color`, of
its most probable answer, single samples, their mean, and the best of them; and how far
apart two samples are. Means over images. Prints Markdown.
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.common import machine, markdown_table, psnr, with_error

GUESS, ANSWERS = "restoration_cifar10_color", "restoration_vae_cifar10_color"
# Axes of one image.
PIXELS = (-3, -2, -1)


def measure(guess: Any, answers: Any, x: np.ndarray, count: int) -> dict[str, Any]:
    """Decibels of each image, by what they are of.

    Args:
        guess: A `restoration` model.
        answers: A `restoration_vae` model of the same corruption.
        x: Images, uint8.
        count: Answers for each.
    """
    seen = guess.encode(x)
    drawn = answers.restore(seen, n=count, seed=0)
    drawn = np.round(255.0 * drawn.clip(0.0, 1.0))
    each = psnr(drawn, x[:, None], PIXELS)
    return {
        "one guess": psnr(np.round(255.0 * guess.restore(seen)), x, PIXELS),
        "the most probable answer": psnr(
            np.round(255.0 * answers.restore(seen)), x, PIXELS
        ),
        "a sample": each.mean(axis=1),
        f"the mean of {count} samples": psnr(drawn.mean(axis=1), x, PIXELS),
        f"the best of {count} samples": each.max(axis=1),
        "one sample beside another": psnr(drawn[:, 0], drawn[:, 1], PIXELS),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--answers", type=int, default=20)
    args = parser.parse_args()

    import aezoo
    from aezoo.data.datasets import load_dataset

    x = load_dataset("cifar10", "test").examples[: args.images]
    found = measure(aezoo.load(GUESS), aezoo.load(ANSWERS), x, args.answers)
    print(f"{machine()}; the first {args.images} test images.\n")
    rows = [[name, with_error(values, ".2f")] for name, values in found.items()]
    print(markdown_table(["", "PSNR, dB"], rows))


if __name__ == "__main__":
    main()
