"""What the explorer shows of a model, without a page: pictures, words, lines of Python.

Every view returns an `Answer`, whose code computes the same in a script.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.errors import MissingDependencyError, UnsupportedOperationError
from aezoo.explorer.shelf import Opened
from aezoo.utils.validation import check_positive_int

# Height of a picture of one example, and of a row of many, in pixels.
HEIGHT, ROW_HEIGHT = 280, 84
# Codes along a side of the manifold's picture, and positions on a path.
GRID, POSITIONS = 15, 21
MAX_SAMPLES = 100
# Examples that are heard of an answer, and how many it may have to be turned.
MAX_HEARD, MAX_TURNED = 24, 6


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a view shows.

    Attributes:
        code: Lines of Python that do the same.
        picture: uint8, `(height, width)` or `(height, width, 3)`; None for text.
        lines: Lines of text; none where there is a picture.
        note: One line about it.
        sound: Samples a second, and samples, int16; None where nothing is heard.
        mesh: A `trimesh.Trimesh` to be turned; None where examples are no shapes.
    """

    code: str
    picture: np.ndarray | None = None
    lines: tuple[str, ...] = ()
    note: str = ""
    sound: tuple[int, np.ndarray] | None = None
    mesh: Any = None


def show(
    opened: Opened,
    x: Any,
    code: str,
    *,
    columns: int = 1,
    height: int = HEIGHT,
    note: str = "",
) -> Answer:
    """Examples as a picture or lines of text.

    Args:
        opened: The model that they are of.
        x: Examples, `(n, *input_shape)`, or as the model gives them.
        code: Of the answer, behind the line that loads the model.
        columns: Examples beside each other.
        height: Least height of a row, in pixels.
        note: Of the answer.
    """
    modality = opened.model.modality
    x = modality.check(x)
    code = f'import aezoo\n\nmodel = aezoo.load("{opened.name}")\n{code}\n'
    if not modality.is_shown:
        return Answer(code, lines=modality.preview(x).lines, note=note)
    picture = modality.sheet(x, columns, height)
    if picture.shape[-1] == 1:
        picture = picture[..., 0]
    sound, mesh = modality.sound(x[:MAX_HEARD]), None
    try:
        mesh = modality.mesh(x) if len(x) <= MAX_TURNED else None
    except MissingDependencyError as error:
        note = f"{note} {error}".strip()
    return Answer(code, picture, note=note, sound=sound, mesh=mesh)


def told(opened: Opened, label: int | None) -> dict[str, int]:
    """The argument `labels` of a model that is told classes; none of others."""
    return {} if label is None or not opened.takes_class else {"labels": label}


def _arguments(**values: Any) -> str:
    return "".join(f", {name}={value!r}" for name, value in values.items())


# --- Codes ------------------------------------------------------------------------


def code_of(opened: Opened, x: np.ndarray, label: int | None = None) -> np.ndarray:
    """The code of one example, `(1, *latent_shape)`."""
    return np.asarray(opened.model.encode(x, **told(opened, label)))


def random_code(opened: Opened, seed: int) -> np.ndarray:
    """A code from the first of the sources, `(1, *latent_shape)`.

    Raises:
        UnsupportedOperationError: If there is none.
    """
    if not opened.sources:
        raise UnsupportedOperationError(
            f"{opened.name!r} has no prior over its codes, and no fitted sampler. "
            "Begin with an example."
        )
    generator = np.random.default_rng(seed)
    return np.asarray(opened.model.sample_codes(1, generator, opened.sources[0]))


def decoded(opened: Opened, z: np.ndarray, label: int | None = None) -> Answer:
    """What a code stands for.

    Args:
        opened: The model.
        z: The code, `(1, *latent_shape)`.
        label: The class that the model is told, if it is told one.
    """
    arguments = told(opened, label)
    x = opened.model.decode(z, **arguments)
    numbers = ", ".join(f"{v:.3g}" for v in z.ravel()[:64])
    more = ", ..." if z.size > 64 else ""
    return show(
        opened, x, f"model.decode([[{numbers}{more}]]{_arguments(**arguments)})"
    )


def manifold(
    opened: Opened, z: np.ndarray, across: int, down: int, label: int | None = None
) -> Answer:
    """A grid of codes that differ in two units.

    Args:
        opened: The model, whose codes are vectors.
        z: The code whose other units are kept, `(1, latent_dim)`.
        across: The unit that grows to the right.
        down: The unit that falls from above.
        label: As in `decoded`.

    Raises:
        UnsupportedOperationError: If codes are no vectors.
    """
    x, y = axis(opened, across), axis(opened, down)[::-1]
    codes = np.repeat(z, GRID * GRID, axis=0)
    codes[:, across] = np.tile(x, GRID)
    codes[:, down] = np.repeat(y, GRID)
    images = opened.model.decode(codes, **told(opened, label))
    code = (
        "aezoo.plots.latent_manifold(model)"
        if opened.model.latent_dim == 2
        else f"model.traverse(x, dim={across})  # and dim={down}"
    )
    return show(
        opened,
        images,
        code,
        columns=GRID,
        height=max(1, 480 // GRID),
        note=f"z{across} from {x[0]:.3g} to {x[-1]:.3g}, "
        f"z{down} from {y[-1]:.3g} (below) to {y[0]:.3g}.",
    )


def axis(opened: Opened, index: int) -> np.ndarray:
    """Values of a unit along the manifold's picture, `(GRID,)`, rising.

    Raises:
        UnsupportedOperationError: If codes are no vectors.
    """
    for unit in opened.units:
        if unit.index == index:
            return np.linspace(unit.mean - unit.reach, unit.mean + unit.reach, GRID)
    raise UnsupportedOperationError(
        f"The codes of {opened.name!r} have shape {opened.model.latent_shape}: there "
        f"is no unit {index} to move."
    )


# --- Examples ---------------------------------------------------------------------


def reconstruction(
    opened: Opened, x: np.ndarray, label: int | None = None
) -> tuple[Answer, list[tuple[str, float]]]:
    """An example beside what the model makes of it, and its code.

    Args:
        opened: The model.
        x: The example, `(1, *input_shape)`.
        label: As in `decoded`.

    Returns:
        The answer, and the units of the code with their values, what matters most
        first; none where codes are no vectors.
    """
    arguments = told(opened, label)
    modality = opened.model.modality
    found = modality.check(opened.model.reconstruct(x, **arguments))
    answer = show(
        opened,
        np.concatenate([x, found]),
        f"model.reconstruct(x{_arguments(**arguments)})",
        columns=1 if opened.is_text else 2,
        note=f"The example, then its reconstruction: {modality.difference(x, found)}.",
    )
    if not opened.units:
        return answer, []
    z = code_of(opened, x, label)[0]
    return answer, [(f"z{unit.index}", float(z[unit.index])) for unit in opened.units]


def path(
    opened: Opened, a: np.ndarray, b: np.ndarray, method: str
) -> tuple[Answer, list[Answer]]:
    """The path from one example to another in code space.

    Args:
        opened: The model.
        a: Where it begins, `(1, *input_shape)`.
        b: Where it ends.
        method: `"spherical"` or `"linear"`.

    Returns:
        The whole path, and its `POSITIONS` positions one by one.
    """
    modality = opened.model.modality
    steps = modality.check(
        opened.model.interpolate(
            a[0], b[0], steps=POSITIONS, method=method, of="examples"
        )
    )
    code = f'model.interpolate(a, b, steps={POSITIONS}, method="{method}")'
    columns = 1 if opened.is_text else math.ceil(POSITIONS / 3)
    whole = show(opened, steps, code, columns=columns, height=ROW_HEIGHT)
    return whole, [show(opened, step[None], code) for step in steps]


def samples(
    opened: Opened,
    n: int,
    seed: int,
    source: str,
    *,
    label: int | None = None,
    temperature: float | None = None,
) -> Answer:
    """New examples.

    Args:
        opened: The model.
        n: How many, up to `MAX_SAMPLES`.
        seed: Same seed, same examples.
        source: `"prior"`, or a fitted sampler.
        label: The class of all; None for any.
        temperature: As in `sample`; None for the model's own.

    Raises:
        UnsupportedOperationError: If the model has no such source.
        ValueError: If an argument is invalid.
    """
    if check_positive_int("n", n) > MAX_SAMPLES:
        raise ValueError(f"`n` must be at most {MAX_SAMPLES}. Received: {n=}.")
    if source not in opened.sources:
        raise UnsupportedOperationError(
            f"{opened.name!r} has no source of codes {source!r:.80}."
        )
    options: dict[str, Any] = {"seed": seed}
    if source != "prior":
        options["sampler"] = source
    if label is not None:
        options["labels"] = label
    if temperature is not None:
        options["temperature"] = temperature
    asked = options | ({} if label is None else {"labels": [label] * n})
    x = opened.model.sample(n, **asked)
    return show(
        opened,
        x,
        f"model.sample({n}{_arguments(**options)})",
        columns=1 if opened.is_text else math.ceil(math.sqrt(n)),
        height=ROW_HEIGHT,
    )


def steps(
    opened: Opened, x: np.ndarray, n: int, seed: int
) -> tuple[Answer | None, Answer | None]:
    """How examples come to be, level by level or step by step.

    Args:
        opened: The model.
        x: Examples that models with levels take apart.
        n: New examples, of models that draw step by step.
        seed: Of the new ones.

    Returns:
        The levels, and the steps; None of what the model has not.
    """
    model = opened.model
    levels = drawn = None
    if hasattr(model, "reconstruct_by_level"):
        levels = _rows(
            opened, model.reconstruct_by_level(x), "model.reconstruct_by_level(x)"
        )
    if hasattr(model, "generate_steps"):
        code = f"model.generate_steps({n}, seed={seed})"
        drawn = _rows(opened, model.generate_steps(n, seed), code)
    return levels, drawn


def _rows(opened: Opened, x: np.ndarray, code: str) -> Answer:
    """Examples `(n, columns, *input_shape)`, a row each."""
    columns = x.shape[1]
    return show(
        opened,
        x.reshape(-1, *x.shape[2:]),
        code,
        columns=columns,
        height=ROW_HEIGHT,
        note=f"One more in each column, {columns} in all.",
    )


# --- Input ------------------------------------------------------------------------


def read_upload(opened: Opened, file: Path, invert: bool = False) -> Any:
    """One example from a file that somebody sent, and what was changed.

    Args:
        opened: The model, of a modality that reads files.
        file: The file, which may be anything.
        invert: For dark ink on light paper.

    Returns:
        The example, `(1, *input_shape)`, and a remark or an empty text.

    Raises:
        AezooError: If it is not what the model takes.
    """
    options = {"invert": True} if invert and opened.is_image else {}
    example, note = opened.model.modality.read(file, **options)
    return np.asarray(example)[None], note or ""


def read_text(opened: Opened, text: str) -> np.ndarray:
    """One example from words.

    Raises:
        ValueError: If there are none, or too many.
    """
    return np.asarray(opened.model.modality.check([text.strip()]))


def compared(
    first: Opened, second: Opened, seed: int, n: int = 16
) -> list[Answer | None]:
    """Reconstructions and samples of two models.

    Args:
        first: A model.
        second: Another, of the same modality.
        seed: Of examples and samples.
        n: How many of each.

    Returns:
        Of each model its reconstructions, and its samples or None.

    Raises:
        ValueError: If the models are of different modalities.
    """
    modalities = first.model.modality, second.model.modality
    if modalities[0].kind != modalities[1].kind or (
        modalities[0].shape != modalities[1].shape
    ):
        raise ValueError(
            f"{first.name!r} takes {modalities[0].nouns} of shape "
            f"{modalities[0].shape}, {second.name!r} {modalities[1].nouns} of shape "
            f"{modalities[1].shape}. Choose models of the same."
        )
    x = first.examples(n, seed)
    x = modalities[0].check(modalities[0].present(x))
    answers: list[Answer | None] = []
    for opened in (first, second):
        given = opened.model.modality.check(modalities[0].present(x))
        found = opened.model.modality.check(opened.model.reconstruct(given))
        answers.append(
            show(
                opened,
                found,
                "model.reconstruct(x)",
                columns=1 if opened.is_text else math.ceil(math.sqrt(n)),
                height=ROW_HEIGHT,
                note=opened.model.modality.difference(given, found),
            )
        )
        answers.append(
            samples(opened, n, seed, opened.sources[0]) if opened.sources else None
        )
    return answers
