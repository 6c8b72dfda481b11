"""Megabytes of images per second that are compressed and decompressed.

    python -m benchmarks.compression_speed vq_vae_mnist conv_vae_mnist --examples 500

For each model, of its own dataset's test images (binarised where the likelihood is
Bernoulli and nothing may be lost): bytes of the images as 8-bit pixels over the seconds
of `aezoo.compress` and `aezoo.decompress`, after a call that warms up. Prints Markdown.
"""

import argparse
import time

import numpy as np

from benchmarks.common import machine, markdown_table


def main() -> None:
    """Print a row per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="models")
    parser.add_argument("--examples", type=int, default=500, help="images")
    args = parser.parse_args()
    import aezoo
    from aezoo.data.datasets import load_dataset

    rows = []
    for name in args.names:
        model, dataset = aezoo.load(name), aezoo.describe(name).data.name
        x = load_dataset(dataset, "test").examples[: args.examples]
        lossless = not hasattr(model, "codebooks")
        if lossless and model.likelihood_name == "bernoulli":
            draws = np.random.default_rng(0).random(x.shape)
            x = (255 * (draws < x / 255.0)).astype("uint8")
        aezoo.decompress(aezoo.compress(model, x[:2], lossless=lossless), model)
        start = time.perf_counter()
        blob = aezoo.compress(model, x, lossless=lossless)
        middle = time.perf_counter()
        aezoo.decompress(blob, model)
        end = time.perf_counter()
        megabytes = x.size / 1e6
        rows.append(
            [
                name,
                "without loss" if lossless else "codes",
                f"{x.size / len(blob):.1f}",
                f"{megabytes / (middle - start):.4f}",
                f"{megabytes / (end - middle):.4f}",
            ]
        )
    print(f"## Compression\n\n{machine()}\n")
    header = ["model", "mode", "ratio", "MB/s in", "MB/s out"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
