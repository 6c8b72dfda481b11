"""Whole photographs in real bytes: the zoo's hyperprior models beside codecs.

    python -m benchmarks.photographs --photographs FOLDER

Each photograph, such as the 24 Kodak pictures, becomes bytes by `aezoo.compress`, with
everything that reading them needs, and comes back by `aezoo.decompress`. Bits per pixel
and peak signal-to-noise ratio (of red, green and blue) are means over photographs. Each
model stands beside what a codec, of Pillow, would need for the same error, read off the
codec's own mean curve; below the table stand the Bjontegaard differences of rates over
all models. Seconds are of one photograph, both ways, after the first. Prints Markdown,
and with `--figure` draws all curves.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from aezoo.evaluation.image.rates import bd_rate, codec_rates, codecs
from benchmarks.common import machine, markdown_table, psnr, verdict

MODELS = tuple(f"hyperprior_photos_q{quality}" for quality in (1, 2, 3, 4))
# Difference of rates that the models are to reach against JPEG.
TARGET = -0.2
Point = tuple[float, float]


def points_of_codec(codec: str, originals: list[np.ndarray]) -> list[Point]:
    """Mean bits per pixel and decibels of each quality."""
    curves = []
    for photograph in originals:
        found = list(codec_rates(codec, photograph[None]))
        curves.append([(3 * rate.bits, rate.psnr) for rate in found])
    means = np.mean(curves, axis=0)
    return [(float(bits), float(decibels)) for bits, decibels in means]


def point_of_model(name: str, originals: list[np.ndarray]) -> tuple[Point, list[float]]:
    """Its mean bits per pixel and decibels; seconds of coding and of decoding."""
    import aezoo

    model = aezoo.load(name)
    points, seconds = [], []
    for photograph in originals:
        start = time.perf_counter()
        blob = aezoo.compress(model, photograph[None])
        middle = time.perf_counter()
        decoded = aezoo.decompress(blob, model)[0]
        seconds.append((middle - start, time.perf_counter() - middle))
        bits = 8.0 * len(blob) / (photograph.shape[0] * photograph.shape[1])
        points.append((bits, float(psnr(photograph, decoded))))
    bits, decibels = np.mean(points, axis=0)
    times = np.median(seconds[1:] or seconds, axis=0)
    return (float(bits), float(decibels)), [float(t) for t in times]


def bits_at(curve: list[Point], decibels: float) -> float:
    """Bits per pixel of a codec at an error, between its qualities; NaN beyond them."""
    ordered = sorted((p, np.log(bits)) for bits, p in curve)
    at, logs = np.transpose(ordered)
    if not at[0] <= decibels <= at[-1]:
        return float("nan")
    return float(np.exp(np.interp(decibels, at, logs)))


def draw(models: list[Point], curves: dict[str, list[Point]], path: Path) -> None:
    """Write a figure of decibels over bits per pixel."""
    from aezoo.evaluation.plots import new_figure, save_figure

    figure = new_figure(5.0, 3.5)
    axes = figure.add_subplot()
    for codec, curve in curves.items():
        axes.plot(*zip(*sorted(curve), strict=True), "-", label=codec)
    axes.plot(*zip(*sorted(models), strict=True), "o-k", label="hyperprior")
    rates, decibels = zip(*models, strict=True)
    axes.set_xlim(0.0, 1.4 * max(rates))
    axes.set_ylim(min(decibels) - 2.0, max(decibels) + 2.0)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(MODELS), help="models")
    parser.add_argument("--photographs", type=Path, required=True, help="a folder")
    parser.add_argument("--limit", type=int, help="the first photographs only")
    parser.add_argument("--figure", type=Path, help="where the curves are drawn")
    options = parser.parse_args()

    from training.data.photos import photographs

    originals = photographs(options.photographs)[: options.limit]
    curves = {codec: points_of_codec(codec, originals) for codec in codecs()}
    found = {name: point_of_model(name, originals) for name in options.names}
    print(f"{machine()}; {len(originals)} photographs.\n")
    rows = [
        [
            name,
            f"{bits:.3f}",
            f"{decibels:.2f}",
            *(f"{bits_at(curve, decibels):.3f}" for curve in curves.values()),
            *(f"{t:.2f}" for t in times),
        ]
        for name, ((bits, decibels), times) in found.items()
    ]
    columns = ["", "bits per pixel", "PSNR, dB"]
    columns += [f"{codec} for that" for codec in curves]
    print(markdown_table([*columns, "to bytes, s", "back, s"], rows))
    print()
    jpeg = curves["JPEG"]
    for name, ((bits, decibels), _) in found.items():
        share = bits / bits_at(jpeg, decibels)
        print(verdict(f"{name}, of JPEG's bits", share, 1.0, at_least=False))
    own = [point for point, _ in found.values()]
    if options.figure:
        draw(own, curves, options.figure)
    if len(found) > 1:
        for codec, curve in curves.items():
            difference = bd_rate(own, curve)
            if codec == "JPEG":
                label = "rate against JPEG, relative"
                print(verdict(label, difference, TARGET, at_least=False))
            else:
                print(f"\nRate against {codec}: {100 * difference:+.1f} %.")


if __name__ == "__main__":
    main()
