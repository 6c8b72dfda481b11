"""Commands that run a model and draw: `reconstruct`, `sample`, `demo` and so on."""

from pathlib import Path
from typing import Any

import click

from aezoo.cli._common import (
    NAMES,
    READING,
    Model,
    Numbers,
    check_shown,
    count_of,
    engine_option,
    examples_argument,
    files_of,
    find_model,
    given_option,
    invert_option,
    load_model,
    main,
    name_argument,
    output_option,
    quiet_loading,
    read_examples,
    read_given,
    report_file,
    seed_option,
    show,
    strict_option,
)
from aezoo.cli._terminal import echo
from aezoo.errors import UnsupportedOperationError

# Of what restores, the family that draws several answers.
ANSWERING = "restoration_vae"
_MAX_TRAVERSED_UNITS = 12
_PICTURE = "Picture (.png, .jpg, .webp, .bmp or .tif"
_picture = output_option(f"{_PICTURE}; not needed for text)")
_seed = seed_option("Same seed, same picture.")
_sampler = click.option(
    "--sampler",
    default="prior",
    show_default=True,
    help="Where codes come from: prior, or a fitted sampler, e.g. gmm.",
)


@main.command(epilog=f"{NAMES} {READING}")
@name_argument
@examples_argument("images", nargs=-1)
@_picture
@click.option(
    "--beams",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Of text: sentences that beam search follows at once.",
)
@given_option
@engine_option
@invert_option
@strict_option
def reconstruct(
    name: str,
    images: tuple[str, ...],
    output: Path | None,
    beams: int,
    told: tuple[tuple[str, str], ...],
    engine: str,
    invert: bool,
    strict: bool,
) -> None:
    """Draw IMAGES beside what model NAME makes of them.

    Models of text take sentences, or .txt files with one on each line.
    """
    known = find_model(name, engine)
    check_shown(known, output)
    x = read_examples(images, known, invert=invert, strict=strict)
    modality = known.modality
    model = load_model(known)
    given = read_given(told, model, len(x))
    x_hat = modality.check(model.reconstruct(x, beams=beams, given=given))

    import numpy as np

    pairs = np.stack([x, x_hat], axis=1).reshape(-1, *modality.shape)
    of_pairs = {name: np.repeat(v, 2, axis=0) for name, v in given.items()}
    show(known, pairs, output, columns=2, given=of_pairs)
    echo(
        f"{count_of(len(x), modality.noun)}, each beside its reconstruction; "
        f"{modality.difference(x, x_hat)}."
    )


@main.command(epilog=f"{NAMES} {READING}")
@name_argument
@click.argument("image", type=click.Path(path_type=Path), required=True)
@click.option(
    "--mask",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Picture of the image's size, bright where pixels are missing.",
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="How many completions.",
)
@click.option(
    "--steps", type=click.IntRange(1), default=50, show_default=True, help="Of each."
)
@click.option(
    "--candidates",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Codes of which a step keeps the one that explains the known pixels best.",
)
@_picture
@_seed
@invert_option
def inpaint(
    name: str,
    image: Path,
    mask: Path,
    number: int,
    steps: int,
    candidates: int,
    output: Path | None,
    seed: int,
    invert: bool,
) -> None:
    """Draw IMAGE without its missing pixels, and completions by model NAME."""
    known = find_model(name)
    check_shown(known, output)
    x = read_examples([str(image)], known, invert=invert)
    shape = known.modality.shape
    if known.modality.kind != "image":
        raise UnsupportedOperationError(f"{name} has no images to fill in.")
    from aezoo.modalities.image.files import read_image

    levels, _ = read_image(mask, (*shape[:2], 1))
    hidden = levels[..., 0] > 127
    completed = load_model(known).inpaint(
        x, hidden, number, seed, steps=steps, candidates=candidates
    )

    import numpy as np

    seen = np.where(hidden[..., None], np.uint8(0), x)
    show(known, np.concatenate([seen, completed[0]]), output, columns=number + 1)
    echo(
        f"{100.0 * hidden.mean():.0f} % of the {known.modality.element}s were missing; "
        f"beside what is known, {count_of(number, 'completion')}."
    )


@main.command(epilog=NAMES)
@name_argument
@click.argument("image", type=click.Path(path_type=Path), required=True)
@output_option(f"{_PICTURE})", required=True)
@click.option(
    "--tile",
    type=click.IntRange(16),
    default=256,
    show_default=True,
    help="Height and width of what is restored at once.",
)
@click.option(
    "--ensemble",
    is_flag=True,
    help="The mean over all ways to turn and mirror IMAGE: better, and 8 times slower.",
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, 100),
    help="Draw so many answers side by side, of a model that knows several.",
)
@_seed
def restore(
    name: str,
    image: Path,
    output: Path,
    tile: int,
    ensemble: bool,
    number: int | None,
    seed: int,
) -> None:
    """Write IMAGE, of any size, as model NAME restores it."""
    known = find_model(name)
    if "restoration" not in known.tasks:
        raise UnsupportedOperationError(
            f"{name} restores nothing. Models that do: `aezoo list --task restoration`."
        )
    if number is not None and known.family != ANSWERING:
        raise UnsupportedOperationError(
            f"{name} knows one answer. Models that draw several: `aezoo list --family "
            f"{ANSWERING}`."
        )
    from aezoo.modalities.image.files import read_whole_image, write_image

    model: Any = load_model(known)
    seen, note = read_whole_image(image, model.latent_shape[-1])
    if note:
        echo(f"{image}: {note}.", err=True)
    if number is None:
        restored = model.restore(seen, tile=tile, ensemble=ensemble)
    else:
        from aezoo.modalities.image.tiling import tile as side_by_side

        answers = model.restore(seen, tile=tile, ensemble=ensemble, n=number, seed=seed)
        restored = side_by_side(answers, columns=number, padding=0)
    write_image(output, restored)
    height, width = restored.shape[:2]
    report_file(output, f"{width} x {height} pixels")


@main.command(epilog=NAMES)
@name_argument
@examples_argument("shapes", nargs=-1, required=False)
@output_option("Mesh (.obj, .ply, .stl or .off)", required=True)
@click.option(
    "--resolution",
    type=click.IntRange(2, 1024),
    default=96,
    show_default=True,
    help="Cells along each axis at which the surface is looked for.",
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, 100),
    help="In place of SHAPES, draw so many.",
)
@_sampler
@seed_option("Same seed, same shapes.")
def mesh(
    name: str,
    shapes: tuple[str, ...],
    output: Path,
    resolution: int,
    number: int | None,
    sampler: str,
    seed: int,
) -> None:
    """Write surfaces of SHAPES, or of new ones, as model NAME has them, side by side.

    At any resolution; `reconstruct` and `sample` write the cells of the model's grid.
    """
    known = find_model(name)
    if "surfaces" not in known.tasks:
        raise UnsupportedOperationError(
            f"{name} has no surfaces that are looked for at any resolution. Models "
            "that have: `aezoo list --task surfaces`."
        )
    if bool(shapes) == (number is not None):
        raise click.UsageError("Give SHAPES, or -n for new ones.")
    import numpy as np

    from aezoo.modalities.meshes import MESHES, check_meshes_installed, row_of_meshes
    from aezoo.utils.files import atomic_path, check_output
    from aezoo.utils.progress import with_progress

    check_output(output, MESHES)
    check_sampler(known, sampler)
    check_meshes_installed()
    x = read_examples(shapes, known) if shapes else None
    model: Any = load_model(known)
    if x is None:
        codes = model.sample_codes(number, np.random.default_rng(seed), sampler)
    else:
        codes = model.encode(x)
    surfaces = [model.mesh(z, resolution) for z in with_progress(codes, "Drawing")]
    whole = row_of_meshes(surfaces)
    if whole is None:
        raise UnsupportedOperationError("There is no surface: nothing is occupied.")
    with atomic_path(output) as temporary:
        whole.export(temporary, file_type=output.suffix[1:].lower())
    report_file(output, f"{len(whole.vertices):,} vertices, {len(whole.faces):,} faces")


@main.command(epilog=NAMES)
@name_argument
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="How many images.",
)
@_sampler
@click.option(
    "--labels",
    type=Numbers(int, "0,1,2"),
    help="Classes to draw, taken in turn, of a model or sampler that knows classes.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0.0),
    help="Factor on the spread of each latent, of a model with several [default: 1]; "
    "of text, above 0: below 1 favours probable words [default: the most probable].",
)
@click.option(
    "--steps",
    is_flag=True,
    help="Draw how the images come to be, in models that draw step by step: one row "
    "per image, or, in a .gif, one frame per step.",
)
@given_option
@engine_option
@_seed
@output_option(f"{_PICTURE}; .gif with --steps; not needed for text)")
def sample(
    name: str,
    number: int,
    sampler: str,
    labels: list[int] | None,
    temperature: float | None,
    steps: bool,
    told: tuple[tuple[str, str], ...],
    engine: str,
    seed: int,
    output: Path | None,
) -> None:
    """Draw new examples from model NAME."""
    known = find_model(name, engine)
    check_sampler(known, sampler)
    options: dict[str, Any] = {}
    if temperature is not None:
        options["temperature"] = temperature
    if steps:
        if labels is not None:
            raise click.UsageError("--steps draws from a prior that knows no classes.")
        draw_steps(known, number, sampler, seed, output, **options)
        return
    if labels is not None:
        options["labels"] = [labels[i % len(labels)] for i in range(number)]
    check_shown(known, output)
    model = load_model(known)
    given = read_given(told, model, number) if told or model.required_conditions else {}
    drawn = model.sample(number, seed, sampler=sampler, given=given, **options)
    show(known, known.modality.check(drawn), output, given=given)
    source = "prior" if sampler == "prior" else f"sampler {sampler}"
    echo(f"{count_of(number, 'sample')} from the {source}, seed {seed}.")


def check_sampler(known: Model, sampler: str) -> None:
    """Refuse what a model cannot draw codes from.

    Raises:
        UnsupportedOperationError: Says from what it can, or which models can.
    """
    if sampler == "prior" and "sampling" not in known.tasks:
        fitted = "".join(f" Pass `--sampler {kind}`." for kind in known.samplers)
        raise UnsupportedOperationError(
            f"{known.name!r} ({known.family}) has no prior over its codes, so it "
            f"cannot sample.{fitted} `aezoo list --task sampling` lists the models "
            "that can."
        )
    if sampler not in ("prior", *known.samplers):
        has = ", ".join(["prior"] * ("sampling" in known.tasks) + [*known.samplers])
        raise UnsupportedOperationError(
            f"{known.name!r} has no sampler {sampler!r}. It has: {has or 'none'}."
        )


def draw_steps(
    known: Model,
    number: int,
    sampler: str,
    seed: int,
    output: Path | None,
    **options: float,
) -> None:
    """What `sample --steps` does."""
    if output is None:
        raise click.UsageError("--steps needs -o.")
    import numpy as np

    from aezoo.modalities.image import files as images
    from aezoo.utils.files import check_output

    is_animation = output.suffix.lower() in images.ANIMATION_SUFFIXES
    suffixes = (*images.OUTPUT_SUFFIXES, *images.ANIMATION_SUFFIXES)
    check_output(output, suffixes)
    model = load_model(known)
    if sampler != "prior" or not hasattr(model, "generate_steps"):
        raise UnsupportedOperationError(
            f"`--steps` draws from the prior of models that draw step by step, such as "
            f"those of the family 'draw'. {known.name!r} is of the family "
            f"{known.family!r}; the sampler is {sampler!r}."
        )
    canvases = model.generate_steps(number, seed, **options)  # (n, steps, *input_shape)
    count = canvases.shape[1]
    if is_animation:
        frames = [images.grid_image(canvases[:, step]) for step in range(count)]
        images.write_animation(output, np.stack(frames))
        report_file(output, count_of(count, "frame"))
    else:
        show(known, canvases.reshape(-1, *canvases.shape[2:]), output, columns=count)
    drawn = count_of(number, "sample")
    echo(f"{drawn} in {count_of(count, 'step')} from the prior, seed {seed}.")


@main.command(epilog=f"{NAMES} {READING}")
@name_argument
@examples_argument("a")
@examples_argument("b")
@_picture
@click.option(
    "--steps",
    type=click.IntRange(2, 1000),
    default=9,
    show_default=True,
    help="Images on the path, both ends included.",
)
@click.option(
    "--method",
    type=click.Choice(["spherical", "linear"]),
    default="spherical",
    show_default=True,
    help="Path in code space.",
)
@given_option
@engine_option
@invert_option
@strict_option
def interpolate(
    name: str,
    a: str,
    b: str,
    output: Path | None,
    steps: int,
    method: str,
    told: tuple[tuple[str, str], ...],
    engine: str,
    invert: bool,
    strict: bool,
) -> None:
    """Draw the path from image A to image B in model NAME's code space.

    Or from one sentence to another.
    """
    known = find_model(name, engine)
    check_shown(known, output)
    x = read_examples((a, b), known, invert=invert, strict=strict)
    model = load_model(known)
    given = read_given(told, model, 1)
    path = known.modality.check(
        model.interpolate(
            x[0], x[1], steps=steps, method=method, of="examples", given=given
        )
    )

    import numpy as np

    strip = np.concatenate([x[:1], path, x[1:]])
    columns = len(strip) if len(strip) <= 24 else None
    of_strip = {name: np.repeat(v, len(strip), axis=0) for name, v in given.items()}
    show(known, strip, output, columns=columns, given=of_strip)
    echo(
        f"{a}, {count_of(steps, known.modality.noun)} on the {method} path, {b}; the "
        "path begins and ends with the reconstructions."
    )


@main.command(epilog=f"{NAMES} {READING}")
@name_argument
@examples_argument("image")
@_picture
@click.option(
    "--dim",
    "dims",
    type=int,
    multiple=True,
    help="Code unit to move, from 0; may be repeated. [default: all, or the "
    f"{_MAX_TRAVERSED_UNITS} that change the picture most]",
)
@click.option(
    "--values",
    type=Numbers(),
    help="What the unit is set to. [default: -3,-1.5,0,1.5,3; as far as the code "
    "itself reaches where there is no prior]",
)
@given_option
@click.option(
    "--factor",
    help="Move a factor that the model knows, such as azimuth, through its values.",
)
@engine_option
@invert_option
@strict_option
def traverse(
    name: str,
    image: str,
    output: Path | None,
    dims: tuple[int, ...],
    values: list[float] | None,
    told: tuple[tuple[str, str], ...],
    factor: str | None,
    engine: str,
    invert: bool,
    strict: bool,
) -> None:
    """Draw what happens to IMAGE as single code units of model NAME move."""
    known = find_model(name, engine)
    if factor is not None:
        if dims or values or told:
            raise click.UsageError("--factor goes without --dim, --values and --given.")
        traverse_factor(known, image, factor, output, invert=invert, strict=strict)
        return
    units = known.latent_dim
    for dim in dims:
        if not -units <= dim < units:
            raise click.BadParameter(
                f"{name} has {units} code units: {-units} to {units - 1}. "
                f"Received: {dim}.",
                param_hint="--dim",
            )
    check_shown(known, output)
    x = read_examples((image,), known, invert=invert, strict=strict)
    model = load_model(known)
    given = read_given(told, model, 1)

    import numpy as np

    from aezoo.evaluation.plots import most_visible_units

    if values is None and "sampling" in known.tasks:
        values = [-3.0, -1.5, 0.0, 1.5, 3.0]
    elif values is None:
        reach = max(float(np.abs(model.encode(x, given=given)).max()), 1e-6)
        values = [float(f"{share * reach:.3g}") for share in (-1, -0.5, 0, 0.5, 1)]
    chosen = list(dims) or most_visible_units(
        model, x, values, _MAX_TRAVERSED_UNITS, given
    )

    def moved(dim: int) -> "np.ndarray":
        row = model.traverse(x[0], dim, values, of="examples", given=given)
        return known.modality.check(row)

    rows = np.concatenate([np.concatenate([x, moved(dim)]) for dim in chosen])
    of_rows = {name: np.repeat(v, len(rows), axis=0) for name, v in given.items()}
    show(known, rows, output, columns=1 + len(values), given=of_rows)
    echo(
        f"One row per code unit, from above: {', '.join(map(str, chosen))}. "
        f"Columns: the input, then the unit at {', '.join(f'{v:g}' for v in values)}."
    )


def traverse_factor(
    known: Model, image: str, factor: str, output: Path | None, **options: bool
) -> None:
    """What `traverse --factor` does."""
    check_shown(known, output)
    x = read_examples((image,), known, **options)
    model = load_model(known)
    import numpy as np

    moved = known.modality.check(model.move(x[0], factor))
    show(known, np.concatenate([x, moved]), output, columns=1 + len(moved))
    echo(f"The input, then {factor} at each of its {len(moved)} values.")


@main.command(epilog=f"{NAMES} {READING}")
@name_argument
@examples_argument("images", nargs=-1)
@click.option(
    "--with",
    "with_it",
    multiple=True,
    required=True,
    help="File or folder of examples that have the attribute; may be repeated.",
)
@click.option(
    "--without",
    "without_it",
    multiple=True,
    required=True,
    help="File or folder of examples that do not have it; may be repeated.",
)
@click.option(
    "--amounts",
    type=Numbers(example="-1,0,1"),
    default="0,0.5,1",
    show_default=True,
    help="How much of the attribute is added; below 0 takes it away.",
)
@_picture
@engine_option
@invert_option
@strict_option
def edit(
    name: str,
    images: tuple[str, ...],
    with_it: tuple[str, ...],
    without_it: tuple[str, ...],
    amounts: list[float],
    output: Path | None,
    engine: str,
    invert: bool,
    strict: bool,
) -> None:
    """Draw IMAGES with more and less of an attribute, by model NAME.

    What the attribute is, examples say: the mean code of those --with it less that of
    those --without it.
    """
    import numpy as np

    import aezoo

    known = find_model(name, engine)
    check_shown(known, output)
    suffixes = known.modality.suffixes
    x, having, lacking = (
        read_examples(files_of(found, suffixes), known, invert=invert, strict=strict)
        for found in (images, with_it, without_it)
    )
    model = load_model(known)
    vector = aezoo.attribute_vector(model, having, lacking)
    edited = [known.modality.check(model.edit(x, vector, a)) for a in amounts]
    rows = np.stack([x, *edited], axis=1).reshape(-1, *known.modality.shape)
    show(known, rows, output, columns=1 + len(amounts))
    echo(
        f"{count_of(len(x), known.modality.noun)}, each beside what becomes of it with "
        f"the attribute added {', '.join(f'{a:g}' for a in amounts)} times."
    )


@main.command()
@output_option("Picture (.png, .pdf or .svg)", default="demo.png", show_default=True)
@_seed
def demo(output: Path, seed: int) -> None:
    """Draw a tour of the zoo. Needs no download and no dataset."""
    from aezoo.evaluation.plots import require_matplotlib
    from aezoo.utils.files import check_output

    check_output(output, (".png", ".pdf", ".svg"))
    require_matplotlib()
    with quiet_loading("TensorFlow"):
        from aezoo.cli.demo import run
    run(output, seed, report=echo)
    report_file(output, "poster")
