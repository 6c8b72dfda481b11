"""Speed of `aezoo.evaluate` against the bare passes of the network that it needs.

ELBO, MSE and active units need one encoding of every image and two decodings, of the
mode and of a sampled code; `iwae_nll` needs K decodings of every image; a Frechet
distance needs as many decodings as there are images, and features of both. All are
compared with compiled `tf.function`s of encoder, decoder and extractor alone, fed from
memory, whose outputs stay tensors. Prints Markdown.
"""

import argparse
import json
import statistics
import sys
from typing import Any

import numpy as np

from benchmarks.common import (
    machine,
    markdown_table,
    median_ratio,
    round_robin,
    synthetic_images,
    verdict,
)
from benchmarks.inference_speed import median_ms

MODEL = "conv_vae_mnist_z16"
METRICS = ["elbo", "mse", "active_units"]
PASSES, EVALUATE = "bare encode and 2 decodes", f"`evaluate`, {', '.join(METRICS)}"
DECODER, IWAE = "bare decoder", "`evaluate`, iwae_nll"
EXTRACTOR = "lenet_mnist_v1"
FORWARD, FRECHET = "bare decode and 2 extractions", f"`evaluate`, frechet/{EXTRACTOR}"


def measure(
    images: int, iwae_images: int, samples: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds of each way, in this process."""
    import tensorflow as tf

    import aezoo
    from aezoo.modalities.image.extractors import load_extractor

    model = aezoo.load(MODEL)
    x = np.round(255 * synthetic_images(images)).astype("uint8")

    def graph(function: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        spec = tf.TensorSpec((None, *shape), dtype)
        return tf.function(function, input_signature=[spec], autograph=False)

    # Written with the model's layers and nothing of `aezoo`'s evaluation.
    encode = graph(
        lambda x: model.encoder(tf.cast(x, "float32") / 255.0)["z_mean"],
        model.input_shape,
        "uint8",
    )
    decode = graph(model.decoder, model.latent_shape)
    starts = range(0, images, 256)

    def bare_passes() -> np.ndarray:
        codes = tf.concat([encode(x[i : i + 256]) for i in starts], axis=0)
        for _ in range(2):
            outputs = [decode(codes[i : i + 256]) for i in starts][-1]
        return outputs.numpy()

    batches = {
        size: tf.random.normal((size, *model.latent_shape)) for size in (250, 1000)
    }

    def bare_decoder(size: int) -> np.ndarray:
        for _ in range(iwae_images * samples // size):
            outputs = decode(batches[size])
        return outputs.numpy()

    extractor = load_extractor(EXTRACTOR)
    extract = graph(extractor.network.extract, x.shape[1:], "uint8")
    codes = tf.random.normal((images, *model.latent_shape))

    def bare_frechet() -> np.ndarray:
        for i in starts:
            drawn = decode(codes[i : i + 256])
            extract(tf.cast(255.0 * tf.sigmoid(drawn), "uint8"))
            outputs = extract(x[i : i + 256])
        return outputs.numpy()

    few = x[:iwae_images]
    return {
        "frechet": median_ms(
            {
                FORWARD: bare_frechet,
                FRECHET: lambda: aezoo.evaluate(
                    model, x, metrics=[f"frechet/{EXTRACTOR}"]
                ),
            },
            repeats,
        ),
        "passes": median_ms(
            {
                PASSES: bare_passes,
                EVALUATE: lambda: aezoo.evaluate(model, x, metrics=METRICS),
            },
            repeats,
        ),
        "iwae": median_ms(
            {
                f"{DECODER}, batches of 250": lambda: bare_decoder(250),
                f"{DECODER}, batches of 1,000": lambda: bare_decoder(1000),
                IWAE: lambda: aezoo.evaluate(
                    model, few, metrics=["iwae_nll"], importance_samples=samples
                ),
            },
            repeats,
        ),
    }


def report(
    results: list[dict[str, Any]], images: int, iwae_images: int, samples: int
) -> str:
    """Markdown: two tables, then the targets."""

    def series(part: str, way: str) -> list[float]:
        return [r[part][way] for r in results]

    ways = {part: list(results[0][part]) for part in ("passes", "iwae", "frechet")}
    passes = [
        [way, f"{statistics.median(series('passes', way)):,.0f}"]
        for way in ways["passes"]
    ]
    frechet = [
        [way, f"{statistics.median(series('frechet', way)):,.0f}"]
        for way in ways["frechet"]
    ]
    beyond = median_ratio(series("frechet", FRECHET), series("frechet", FORWARD))
    decodes = iwae_images * samples
    iwae = [
        [way, f"{decodes / statistics.median(series('iwae', way)) * 1e3:,.0f}"]
        for way in ways["iwae"]
    ]
    extra = median_ratio(series("passes", EVALUATE), series("passes", PASSES))
    bare = [min(r["iwae"][way] for way in ways["iwae"] if way != IWAE) for r in results]
    speed = median_ratio(bare, series("iwae", IWAE))
    return "\n".join(
        [
            f"### {images:,} images, {MODEL}",
            "",
            markdown_table(["way", "ms"], passes),
            "",
            f"### `iwae_nll`, {iwae_images} images, K = {samples}",
            "",
            markdown_table(["way", "decoded images/s"], iwae),
            "",
            f"### Frechet distance, {images:,} samples",
            "",
            markdown_table(["way", "ms"], frechet),
            "",
            verdict("`evaluate` / bare passes", extra, 1.2, at_least=False),
            verdict("Frechet / its forward passes", beyond, 1.3, at_least=False),
            verdict("`iwae_nll` / faster bare decoder", speed, 0.9, at_least=True),
        ]
    )


def main() -> None:
    """Measure in fresh processes, or in this one as a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--iwae-images", type=int, default=40)
    parser.add_argument("--samples", type=int, default=500, help="K of iwae_nll")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        sizes = (args.images, args.iwae_images, args.samples, args.repeats)
        print(json.dumps(measure(*sizes)))
        return
    print(f"## Evaluation speed\n\n{machine()}; medians of {args.rounds} rounds.\n")
    command = [sys.executable, "-m", "benchmarks.evaluation_speed", *sys.argv[1:]]
    results = round_robin({"evaluation": ([*command, "--child"], {})}, args.rounds)
    sizes = (args.images, args.iwae_images, args.samples)
    print(report(results["evaluation"], *sizes))


if __name__ == "__main__":
    main()
