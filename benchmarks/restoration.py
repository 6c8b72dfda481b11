"""Photographs restored: the zoo's models beside what people use without learning.

    python -m benchmarks.restoration --photographs FOLDER

On whole photographs, such as the 24 Kodak pictures: super-resolution beside bicubic
interpolation, in peak signal-to-noise ratio of the luma without a border of as many
pixels as the factor, as is usual; noise of standard deviation 25/255 beside what
scikit-image offers (non-local means, total variation, wavelets), in that of red, green
and blue. What is restored has been rounded to 8 bits, and so has what is compared.
Seconds are of one photograph, after the first, in tiles. Prints Markdown.

    python -m benchmarks.restoration restoration_photos_x2 --figure docs/restored

draws a picture made by a program: what is missing of it, and what each model restores.
"""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine, markdown_table, psnr, verdict

SIGMA = 25.0
# By how many decibels a model must be ahead, by its name.
TARGETS = {
    "restoration_photos_x2": 1.0,
    "restoration_photos_x4": 0.5,
    "restoration_photos_denoise": 1.5,
}
SECONDS = 3.0
# Luma of ITU-R BT.601 in 8 bits, from 16 to 235.
LUMA = np.array([65.481, 128.553, 24.966]) / 255.0
# Weights of total variation that are tried; the best of each photograph counts.
VARIATIONS = (0.06, 0.08, 0.1, 0.12)
Restore = Callable[[np.ndarray], np.ndarray]


def luma_psnr(a: np.ndarray, b: np.ndarray, border: int) -> float:
    """That of the luma of uint8 images, without a border."""
    inner = np.s_[border:-border, border:-border]
    return float(psnr((a @ LUMA)[inner], (b @ LUMA)[inner]))


def to_levels(x: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] as uint8."""
    return np.round(255.0 * np.clip(x, 0.0, 1.0)).astype("uint8")


def smaller(photograph: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph cut to multiples of the factor, and at a fraction of its size."""
    from aezoo.modalities.image.corruption import degraded

    height, width = (side // factor * factor for side in photograph.shape[:2])
    whole = photograph[:height, :width]
    found = degraded(whole[None] / np.float32(255), "downsample", factor, 0)
    return whole, to_levels(np.asarray(found)[0])


def enlarged(x: np.ndarray, factor: int) -> np.ndarray:
    """Bicubic interpolation of a uint8 image."""
    from aezoo.modalities.image.resampling import resize

    height, width = (factor * side for side in x.shape[:2])
    return to_levels(np.asarray(resize(x[None] / np.float32(255), height, width))[0])


def noisy(photograph: np.ndarray, seed: int) -> np.ndarray:
    """With noise, cut to the range and rounded: uint8."""
    noise = np.random.default_rng(seed).normal(0.0, SIGMA, photograph.shape)
    return to_levels((photograph + noise) / 255.0)


def denoisers() -> dict[str, Callable[[np.ndarray], list[np.ndarray]]]:
    """What is tried on a noisy image, by name: each gives one answer, or several."""
    from skimage import restoration

    sigma = SIGMA / 255.0

    def means(x: np.ndarray) -> list[np.ndarray]:
        found = restoration.denoise_nl_means(
            x / 255.0,
            patch_size=5,
            patch_distance=6,
            h=0.6 * sigma,
            sigma=sigma,
            fast_mode=True,
            channel_axis=-1,
        )
        return [to_levels(found)]

    def variation(x: np.ndarray) -> list[np.ndarray]:
        return [
            to_levels(
                restoration.denoise_tv_chambolle(
                    x / 255.0, weight=weight, channel_axis=-1
                )
            )
            for weight in VARIATIONS
        ]

    def wavelets(x: np.ndarray) -> list[np.ndarray]:
        found = restoration.denoise_wavelet(
            x / 255.0,
            sigma=sigma,
            convert2ycbcr=True,
            rescale_sigma=True,
            channel_axis=-1,
        )
        return [to_levels(found)]

    return {
        "non-local means": means,
        "total variation": variation,
        "wavelets": wavelets,
    }


def measure(
    name: str, restore: Restore, factor: int, photographs: list[np.ndarray]
) -> tuple[list[list[str]], float, float]:
    """Rows of a model's table, by how much it is ahead, and seconds of a photograph.

    Args:
        name: Of the model.
        restore: From a uint8 image to a restored one.
        factor: By which it grows; 1 for a denoiser.
        photographs: The originals.
    """
    rows: dict[str, list[float]] = {}
    seconds = []
    for index, photograph in enumerate(photographs):
        if factor > 1:
            whole, seen = smaller(photograph, factor)
            answers = {"bicubic interpolation": [enlarged(seen, factor)]}
        else:
            whole, seen = photograph, noisy(photograph, index)
            answers = {n: denoise(seen) for n, denoise in denoisers().items()}
            answers["as it is"] = [seen]
        start = time.perf_counter()
        answers[name] = [restore(seen)]
        seconds.append(time.perf_counter() - start)
        for method, found in answers.items():
            scores = [
                luma_psnr(whole, a, factor) if factor > 1 else float(psnr(whole, a))
                for a in found
            ]
            rows.setdefault(method, []).append(max(scores))
    means = {method: float(np.mean(values)) for method, values in rows.items()}
    best = max(value for method, value in means.items() if method != name)
    ahead = [
        mine - other
        for mine, other in zip(
            rows[name],
            np.max([v for m, v in rows.items() if m != name], axis=0),
            strict=True,
        )
    ]
    table = [[method, f"{value:.2f}"] for method, value in means.items()]
    table.append(
        ["ahead of the best, by photograph", f"{min(ahead):+.2f} to {max(ahead):+.2f}"]
    )
    time_of_one = float(np.median(seconds[1:] or seconds))
    return table, means[name] - best, time_of_one


def drawn(side: int = 128) -> np.ndarray:
    """A picture made by a program, uint8: rings and digits before a sky."""
    import aezoo

    rows, columns = np.mgrid[:side, :side] / side
    picture = np.stack([0.3 + 0.5 * rows, 0.6 - 0.2 * columns, 0.9 - 0.5 * rows], -1)
    rings = np.hypot(rows - 0.3, columns - 0.7)
    picture[(rings < 0.22) & (np.sin(140 * rings) > 0)] = (0.95, 0.85, 0.3)
    digits, _ = aezoo.digits.draw_digits(4, seed=0)
    for i, digit in enumerate(digits):
        left = side * (i + 1) // 4 - 29
        place = picture[side - 34 : side - 6, left : left + 28]
        place *= 1.0 - digit / 255.0
    return to_levels(picture)


def draw(models: dict[str, Any], folder: Path) -> None:
    """Write `NAME.png` for each model: without it, by it, and as it should be."""
    from aezoo.modalities.image.files import write_image
    from aezoo.modalities.image.tiling import tile

    folder.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        factor = model.input_shape[0] // model.latent_shape[0]
        if factor > 1:
            whole, seen = smaller(drawn(), factor)
            shown = enlarged(seen, factor)
        else:
            whole = drawn()
            shown = seen = noisy(whole, 0)
        pictures = np.stack([shown, model.restore(seen), whole])
        write_image(folder / f"{name}.png", tile(pictures, columns=3, background=255))


def main() -> None:
    """Measure and print, or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TARGETS), help="models")
    parser.add_argument("--photographs", type=Path, help="a folder of them")
    parser.add_argument("--ensemble", action="store_true", help="all eight views")
    parser.add_argument("--limit", type=int, help="the first photographs only")
    parser.add_argument("--figure", type=Path, help="a folder for pictures")
    options = parser.parse_args()
    if not (options.photographs or options.figure):
        parser.error("Pass --photographs, or --figure.")

    import aezoo
    from training.data.photos import photographs

    if options.figure:
        draw({name: aezoo.load(name) for name in options.names}, options.figure)
    if not options.photographs:
        return

    originals = photographs(options.photographs)[: options.limit]
    print(f"{machine()}; {len(originals)} photographs.\n")
    for name in options.names:
        model = aezoo.load(name)
        factor = model.input_shape[0] // model.latent_shape[0]
        restore = functools.partial(model.restore, ensemble=options.ensemble)
        table, ahead, seconds = measure(name, restore, factor, originals)
        print(f"### {name}\n")
        print(markdown_table(["", "PSNR, dB"], table))
        target = TARGETS.get(name, 0.0)
        print()
        print(verdict("ahead of the best, dB", ahead, target, at_least=True))
        print(verdict("seconds of a photograph", seconds, SECONDS, at_least=False))
        print()


if __name__ == "__main__":
    main()
