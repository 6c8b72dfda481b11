"""Commands that compress: `compress`, `decompress`, `rate`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import aezoo
from aezoo.cli._common import (
    NAMES,
    READING,
    count_of,
    data_dir_option,
    examples_argument,
    files_of,
    find_model,
    invert_option,
    json_option,
    load_model,
    main,
    name_argument,
    output_option,
    print_table,
    quiet_loading,
    read_examples,
    report_file,
    seed_option,
)
from aezoo.cli._terminal import echo, print_json

if TYPE_CHECKING:
    import numpy as np

    from aezoo.evaluation.image.rates import Rates

_MAX_BLOB_BYTES = 1 << 30
# The family that codes images of any size.
ANY_SIZE = "hyperprior"
_lossless = click.option(
    "--lossless",
    is_flag=True,
    help="By bits back with a variational autoencoder: images come back bit by bit.",
)


@main.command(epilog=f"{NAMES} {READING}")
@name_argument
@examples_argument("images", nargs=-1)
@output_option("Compressed file (.aez)", required=True)
@_lossless
@click.option(
    "--threshold",
    is_flag=True,
    help="First round each pixel to black or white, as lossless coding of Bernoulli "
    "pixels needs.",
)
@invert_option
def compress(
    name: str,
    images: tuple[str, ...],
    output: Path,
    lossless: bool,
    threshold: bool,
    invert: bool,
) -> None:
    """Write IMAGES as one small file, by model NAME.

    Codes of vq_vae, vq_vae_2 and fsq are coded under the model's prior. Models of the
    family hyperprior take photographs of any size, all of one. `aezoo decompress` reads
    the file and needs nothing else.
    """
    from aezoo.utils.files import check_output, write_file

    known = find_model(name)
    check_output(output, (".aez",))
    if known.family == ANY_SIZE and not lossless:
        if invert:
            raise click.UsageError("--invert is not for photographs.")
        files = files_of(images, known.modality.suffixes)
        x = _whole_images(files, known.modality.shape[-1])
    else:
        x = read_examples(images, known, invert=invert)
    if threshold:
        x = 255 * (x > 127).astype("uint8")
    with quiet_loading(name):
        model = known.load()
        blob = aezoo.compress(_zoo_name(name) or model, x, lossless=lossless)
    write_file(output, blob)
    bits = 8.0 * len(blob) / x.size
    noun, element = known.modality.noun, known.modality.element
    report_file(output, f"{count_of(len(x), noun)}, {bits:.3f} bits per {element}")


def _whole_images(files: Sequence[str], channels: int) -> "np.ndarray":
    """Images at their own size, `(n, height, width, channels)`."""
    import numpy as np

    from aezoo.modalities.image.files import read_whole_image

    found: list[np.ndarray] = []
    for file in files:
        image, note = read_whole_image(file, channels)
        if note:
            echo(f"{file}: {note}", err=True)
        if found and image.shape != found[0].shape:
            (height, width), (h, w) = image.shape[:2], found[0].shape[:2]
            raise click.UsageError(
                f"{file} has {width} x {height} pixels, {files[0]} {w} x {h}. One file "
                "holds images of one size: compress the others into another."
            )
        found.append(image)
    return np.stack(found)


def _zoo_name(name: str) -> str | None:
    return name if name in aezoo.list_models() else None


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@output_option("Folder", required=True)
@click.option("--model", "name", help="NAME of the model, if it is not of the zoo.")
def decompress(file: Path, output: Path, name: str | None) -> None:
    """Write the images of FILE, which `aezoo compress` made, to a folder as PNG."""
    from aezoo.errors import CompressionError
    from aezoo.modalities import Image
    from aezoo.utils.files import read_file

    blob = read_file(file, _MAX_BLOB_BYTES)
    if blob is None or len(blob) > _MAX_BLOB_BYTES:
        raise CompressionError(f"{file} has more than {_MAX_BLOB_BYTES:,} bytes.")
    with quiet_loading(str(file)):
        from aezoo.compression import decompress as unpack

        x = unpack(blob, None if name is None else load_model(find_model(name)))
    modality: Any = Image(*x.shape[1:]) if x.ndim == 4 else None
    if modality is None:
        raise CompressionError("The file holds no images. Use `aezoo.decompress`.")
    output.mkdir(parents=True, exist_ok=True)
    digits = len(str(len(x) - 1))
    for i, image in enumerate(x):
        modality.write(image, output / f"{i:0{digits}}.png")
    echo(f"Wrote {count_of(len(x), 'image')} to {output}.")


@main.command(epilog=NAMES)
@name_argument
@click.argument("dataset")
@click.option("--split", default="test", show_default=True, help="Of the dataset.")
@_lossless
@click.option("--limit", type=click.IntRange(1), help="Only the first N images.")
@seed_option("Of binarised pixels and of the bound.")
@data_dir_option
@output_option("Figure (.png, .svg or .pdf)")
@json_option
def rate(
    name: str,
    dataset: str,
    split: str,
    lossless: bool,
    limit: int | None,
    seed: int,
    data_dir: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure bits and error of DATASET compressed by model NAME, beside codecs.

    PNG, WebP, JPEG and AVIF (as far as Pillow has them) get all images as one picture;
    with loss, at the model's rate and at its error.
    """
    from aezoo.utils.files import check_output

    if output is not None:
        check_output(output, (".png", ".svg", ".pdf"))
        if lossless:
            raise click.UsageError("--output draws error over bits: not of --lossless.")
    known = find_model(name)
    model = load_model(known)
    from aezoo.data.datasets import open_dataset
    from aezoo.evaluation.context import Evaluation, Settings
    from aezoo.evaluation.image.rates import measure_rates

    data = open_dataset(dataset, split, data_dir, model.modality)
    settings = Settings(seed=seed, limit=limit, data_dir=data_dir)
    evaluation = Evaluation(
        model, data.take(limit), settings, len(data.examples), dataset
    )
    rates = measure_rates(evaluation, known.name, lossless)
    if output is not None:
        from aezoo.evaluation.plots import rate_curves, save_figure

        save_figure(rate_curves(rates), output)
    if as_json:
        print_json(
            {
                "num_examples": rates.num_examples,
                "num_elements": rates.num_elements,
                "bound": rates.bound,
                "rates": [
                    {
                        "method": each.method,
                        "bytes": each.num_bytes,
                        "bits": each.bits,
                        "mse": each.mse,
                        "settings": each.settings,
                    }
                    for each in rates.rates
                ],
            }
        )
        return
    _print_rates(rates)
    if output is not None:
        report_file(output, "error over bits")


def _print_rates(rates: "Rates") -> None:
    rows = [
        [
            each.method,
            f"{each.num_bytes:,}",
            f"{each.bits:.4f}",
            f"{each.mse:.5f}",
            "" if math.isinf(each.psnr) else f"{each.psnr:.2f}",
            each.settings,
        ]
        for each in rates.rates
    ]
    header = ["method", "bytes", "bits per element", "mse", "psnr", ""]
    print_table(header, rows, numeric=(1, 2, 3, 4))
    if rates.bound is not None:
        ratio = rates.rates[0].bits / rates.bound
        echo(
            f"The model's own bound is {rates.bound:.4f} bits per element; the bytes "
            f"are {100.0 * (ratio - 1.0):+.2f} % from it."
        )
    echo(f"{count_of(rates.num_examples, 'image')}, of {rates.num_elements} elements.")
