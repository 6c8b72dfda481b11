"""Pages on what models write between two examples, and how probable that is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import aezoo
from aezoo.evaluation.metrics.text import perplexity_of
from aezoo.manifest import WeightsEntry
from aezoo.modalities import Modality
from aezoo.modalities.music import TEMPO
from aezoo.utils.files import atomic_path
from training.export import ROOT

# Negative log-likelihoods and numbers of symbols of examples, `(n,)` both.
Judge = Callable[[Any], tuple[np.ndarray, np.ndarray]]
DOCS = ROOT / "docs"
# Of paths between examples: seed of the pairs of music and of what is blended.
SEED = 0
# Pairs of test sentences, sentences on a path with both ends, and paths that are shown.
PAIRS, STEPS, SHOWN = 200, 7, 3
# Pairs of pieces, pieces on a path with both ends, and samples that are shown.
PIECE_PAIRS, PIECE_STEPS, SAMPLES = 256, 9, 8
TEMPERATURE = 0.8
AUDIBLE = DOCS / "music"


def write(
    judge: Judge, modality: Modality, test: Any, names: Sequence[str], command: str
) -> Path:
    """Write the page of a modality.

    Args:
        judge: What says how improbable examples are.
        modality: What an example is.
        test: Examples of the test split.
        names: Models of the zoo.
        command: What writes the page.

    Returns:
        The page.

    Raises:
        ValueError: If there is no page of the modality.
    """
    if modality.kind not in PAGES:
        raise ValueError(
            f"`--judge` knows pages of {' and '.join(PAGES)}. Received: a recipe of "
            f"{modality.kind}."
        )
    name, make = PAGES[modality.kind]
    with atomic_path(DOCS / name) as path:
        text = make(judge, test, names)
        text = text.replace("COMMAND", f"`python -m training.language_model {command}`")
        path.write_text(text, encoding="utf-8")
    return DOCS / name


def rate(judge: Judge, x: Any) -> tuple[float, float]:
    """Mean nats of examples, and nats per symbol."""
    nll, counts = judge(x)
    return float(nll.mean()), float(nll.sum() / counts.sum())


def bounds(names: Sequence[str], noun: str, whole: float) -> list[str]:
    """A table of how probable models find test examples, beside a language model.

    Args:
        names: Models of the zoo.
        noun: What an example is.
        whole: Nats of the language model.
    """
    lines = [
        f"The latent's worth: the negative log-likelihood of a test {noun} beside the "
        "language model's; of the models it is the importance-sampled bound, or, where "
        "that is not measured, the negative ELBO. The KL says how much the latent "
        "tells.",
        "",
        f"| model | nats per {noun} | over the language model | KL | active units |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| language model | {whole:.2f} | | | |",
    ]
    for name in names:
        entry = aezoo.describe(name)
        sampled, elbo, kl, units = map(
            entry.metric, ("iwae_nll", "elbo", "kl", "active_units")
        )
        if elbo is not None and kl is not None and units is not None:
            # the importance-sampled figure where there is one, else a looser bound
            nll = -elbo.value if sampled is None else sampled.value
            lines.append(
                f"| `{name}` | at most {nll:.2f} | {nll / whole - 1:+.1%} | "
                f"{kl.value:.2f} | {units.value:.0f} |"
            )
    return lines


# --- Sentences ------------------------------------------------------------------------


def sentences(judge: Judge, test: Any, names: Sequence[str]) -> str:
    """The page: how probable sentences are, and examples of paths."""
    test = list(test)
    perplexity = perplexity_of(*judge(test)).value
    whole, real = rate(judge, test)
    lines = [
        "# Sentences between sentences",
        "",
        "Written by COMMAND. A language model of the same "
        "decoder, which has no latent and was trained apart, says how probable it "
        f"finds what the models write between {PAIRS} pairs of test sentences, "
        f"{STEPS - 2} on each spherical path, without the ends; beside them all "
        f"{len(test):,} test sentences, {whole:.2f} nats each, perplexity "
        f"{perplexity:.2f}.",
        "",
        "| sentences | nats per word | times that of real ones |",
        "| --- | ---: | ---: |",
        f"| of the test split | {real:.3f} | 1 |",
    ]
    examples: list[str] = []
    for name in names:
        a, b = test[0 : 2 * PAIRS : 2], test[1 : 2 * PAIRS : 2]
        written = aezoo.load(name).interpolate(a, b, steps=STEPS)
        between = [s for path in written for s in path[1:-1]]
        _, nats = rate(judge, between)
        lines.append(f"| between them, `{name}` | {nats:.3f} | {nats / real:.2f} |")
        examples += ["", f"## `{name}`", ""]
        for i, path in enumerate(written[:SHOWN]):
            examples += [f"From *{a[i]}* to *{b[i]}*", ""]
            examples += [*(f"1. {sentence}" for sentence in path), ""]
    lines += ["", *bounds(names, "sentence", whole)]
    return "\n".join([*lines, *examples]).rstrip("\n") + "\n"


# --- Music ----------------------------------------------------------------------------


def music(judge: Judge, test: Any, names: Sequence[str]) -> str:
    """The page of music, and the pictures and MIDI files that it shows."""
    test = np.asarray(test)
    order = np.random.default_rng(SEED).permutation(len(test))
    a, b = test[order[: 2 * PIECE_PAIRS]].reshape(2, -1, *test.shape[1:])
    whole, real = rate(judge, test)
    blended = rows_of_path(judge, blend(a, b, PIECE_STEPS, SEED))
    lines = [
        "# Music between music",
        "",
        "Written by COMMAND. Models of windows of Bach's chorales, in eighths; what is "
        "measured is of the chorales of the test split, which no model has seen.",
        "",
        *accuracies(),
        "",
        "## What lies between two pieces",
        "",
        f"Between {len(a)} pairs of test windows, as Roberts et al. (2018, "
        "https://arxiv.org/abs/1803.05428, section 5.2) measure it: on the spherical "
        "path in the latent space, and blended in the space of data, where each step "
        "is all voices of the one piece or of the other, of the other with the "
        "probability that is the place on the path. The distance is the share of steps "
        "and voices with another pitch than the path's first piece, over that of its "
        "last one: best is the place itself. A language model of the same decoder, "
        "which has no latent and was trained apart, says how probable it finds what is "
        "written: nats over those of the path's two ends, each as much as it is near. "
        f"It finds the test windows {real:.3f} nats a pitch, {whole:.2f} a window.",
        "",
        "| place | " + " | ".join(f"{p:.3g}" for p in places()) + " |",
        "| --- |" + " ---: |" * PIECE_STEPS,
    ]
    for name in names:
        model = aezoo.load(name)
        written = rows_of_path(judge, model.interpolate(a, b, steps=PIECE_STEPS))
        lines += [
            f"| {title} | " + " | ".join(f"{value:.2f}" for value in values) + " |"
            for title, values in (
                (f"distance, `{name}`", written[0]),
                ("distance, blended", blended[0]),
                (f"nats, `{name}`", written[1]),
                ("nats, blended", blended[1]),
            )
        ]
    lines += [
        "",
        *bounds(names, "piece", whole),
        "",
        "The models are trained for their reconstructions (`beta` is far below 1), so "
        "their bound is a loose one.",
    ]
    for name in names:
        lines += ["", f"## `{name}`", "", *heard(name, a[0], b[0])]
    return "\n".join(lines) + "\n"


def places() -> np.ndarray:
    """Where the pieces of a path are, from 0 to 1."""
    return np.linspace(0.0, 1.0, PIECE_STEPS)


def blend(a: np.ndarray, b: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """Paths of pieces whose steps are those of `a` or, more and more, of `b`.

    Args:
        a: Pieces at the start, `(n, time, voices)`.
        b: Pieces at the end.
        steps: Pieces of a path, both ends included.
        seed: Of the choices, which are drawn anew for each piece.

    Returns:
        Shape `(n, steps, time, voices)`.
    """
    n, time, _ = a.shape
    draws = np.random.default_rng(seed).random((n, steps, time))
    is_end = draws < np.linspace(0.0, 1.0, steps)[:, None]
    return np.where(is_end[..., None], b[:, None], a[:, None])


def rows_of_path(judge: Judge, paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and improbabilities along paths, means over them.

    Args:
        judge: As in `write`.
        paths: Pieces, `(n, steps, time, voices)`.

    Returns:
        Distance to the first piece, as a share of that of the last one; and nats, as
        a share of those of both ends, each weighted by how near it is; `(steps,)`
        both. Paths whose ends are the same count in neither.
    """
    moved = np.mean(paths != paths[:, :1], axis=(2, 3))  # (n, steps)
    is_path = moved[:, -1] > 0
    paths, moved = paths[is_path], moved[is_path]
    nll = judge(paths.reshape(-1, *paths.shape[2:]))[0].reshape(moved.shape)
    nearness = np.linspace(0.0, 1.0, moved.shape[1])
    ends = (1 - nearness) * nll[:, :1] + nearness * nll[:, -1:]
    return (moved / moved[:, -1:]).mean(axis=0), nll.sum(axis=0) / ends.sum(axis=0)


def accuracies() -> list[str]:
    """A table of how many notes are right, of all models of music in the zoo."""
    names = ("note_accuracy", "frame_accuracy", "kl")
    lines = [
        "| model | decoder | notes right | pitches right | KL |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name in aezoo.list_models():
        entry = aezoo.describe(name)
        if not isinstance(entry, WeightsEntry) or "segment" not in entry.config:
            continue
        led = "a conductor leads" if entry.config["segment"] else "flat"
        figures = [entry.metric(metric) for metric in names]
        notes, pitches, kl = (figure.value if figure else np.nan for figure in figures)
        lines.append(f"| `{name}` | {led} | {notes:.2%} | {pitches:.2%} | {kl:.1f} |")
    return lines


def heard(name: str, a: np.ndarray, b: np.ndarray) -> list[str]:
    """Lines on samples and a path of a model; writes what they show and play."""
    model = aezoo.load(name)
    AUDIBLE.mkdir(exist_ok=True)
    lines = []
    for what, pieces, title in (
        (
            "samples",
            model.sample(SAMPLES, seed=SEED, temperature=TEMPERATURE),
            f"{SAMPLES} samples, temperature {TEMPERATURE}, one after the other",
        ),
        (
            "interpolation",
            model.interpolate(a, b, steps=PIECE_STEPS),
            f"From one test window to another in {PIECE_STEPS} pieces",
        ),
    ):
        with atomic_path(AUDIBLE / f"{name}_{what}.mid") as path:
            model.modality.write_many(pieces, path)
        with atomic_path(AUDIBLE / f"{name}_{what}.png") as path:
            picture = Image.fromarray(
                np.asarray(model.modality.preview(pieces).picture)
            )
            picture.save(path, "PNG")
        lines += [
            f"![{title}](music/{name}_{what}.png)",
            "",
            f"{title}, to be played at {TEMPO} quarters a minute: "
            f"[{name}_{what}.mid](music/{name}_{what}.mid).",
            "",
        ]
    return lines[:-1]


# Of each modality its page, and what makes it.
PAGES: dict[str, tuple[str, Callable[[Judge, Any, Sequence[str]], str]]] = {
    "text": ("sentences.md", sentences),
    "music": ("music.md", music),
}
