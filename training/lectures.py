"""The pictures that lectures on autoencoders show, drawn by the zoo, on one page.

    python -m training.lectures
    python -m training.lectures --data-dir DIR
    python -m training.lectures --only components --only balance

draws the pictures of `ROWS` into `docs/lectures` and writes `docs/lectures.md`, which
has all of them. Inputs are digits that aezoo draws itself, or codes; only what models
make of pictures of a dataset is shown, never one of them. Rows that name a dataset are
drawn where `--data-dir` is given. A rerun gives the same pictures.
"""

import dataclasses
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import keras
import numpy as np

import aezoo
from aezoo.data.datasets import load_dataset
from aezoo.errors import AezooError
from aezoo.evaluation import plots
from aezoo.modalities.image.digits import draw_digits
from aezoo.nn.layers.upsampling import UPSAMPLING
from aezoo.training.loop import factor_of
from aezoo.utils.files import atomic_path
from training.gallery import STYLE, write

DOCS = Path(__file__).parent.parent / "docs"
SEED = 0
# Of CIFAR-10, by label.
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much is computed for a picture.

    Attributes:
        digits: Drawn digits that the small models of this page learn from.
        epochs: Passes over them.
        columns: Pictures in a row.
        data_dir: As in `aezoo.datasets.load_dataset`.
    """

    digits: int = 4000
    epochs: int = 12
    columns: int = 11
    data_dir: Path | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A picture of the page.

    Attributes:
        name: Of its file.
        system: What the lectures call the model.
        words: What is seen, one sentence.
        weights: Those that are shown; or none, where a small model is trained here.
        draw: From settings to a figure; None where `picture` is made elsewhere.
        dataset: That its codes come from, or none.
        picture: Where it is, from `docs`, if another command makes it.
        command: That makes it.
        note: What else is to be said, below the picture.
    """

    name: str
    system: str
    words: str
    weights: tuple[str, ...] = ()
    draw: Callable[["Row", Settings], Any] | None = None
    dataset: str = ""
    picture: str = ""
    command: str = ""
    note: str = ""

    @property
    def path(self) -> str:
        """Where the picture is, from `docs`."""
        return self.picture or f"lectures/{self.name}.png"

    @property
    def made_by(self) -> str:
        """The command that draws it."""
        data = " --data-dir DIR" if self.dataset else ""
        own = f"python -m training.lectures --only {self.name}{data}"
        return self.command or own


def components(row: Row, settings: Settings) -> Any:
    """Digits from their first components, as a figure."""
    x, _ = draw_digits(settings.digits, SEED)
    shown, _ = draw_digits(settings.columns - 1, SEED + 1)
    rows: dict[str, Any] = {"input": shown}
    for count in (1, 2, 5, 10):
        model = aezoo.create("linear_ae", latent_dim=count).fit_closed_form(x)
        rows[f"{count} latent{'s' * (count > 1)}"] = model.reconstruct(shown)
    return plots.image_rows(rows, title=row.words)


def balance(row: Row, settings: Settings) -> Any:
    """Codes of digits in a plane under three weights of the KL term, as a figure."""
    from matplotlib.figure import Figure

    x, labels = draw_digits(settings.digits, SEED)
    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    for panel, (title, beta) in zip(
        panels,
        (("reconstruction alone", 0.0), ("both", 1.0), ("KL alone", 1e4)),
        strict=True,
    ):
        keras.utils.set_random_seed(SEED)
        model = aezoo.create("dense_vae", latent_dim=2, hidden_units=(256,), beta=beta)
        model.compile(aezoo.optimizers.Adam(2e-3))
        model.fit(x, epochs=settings.epochs, verbose=0)
        z = model.posterior(x[:1000]).sample(SEED)
        panel.scatter(*np.asarray(z).T, c=labels[:1000], cmap="tab10", s=4)
        panel.set_title(title)
        panel.set_aspect("equal", adjustable="datalim")
    figure.suptitle(row.words)
    return figure


def plane(row: Row, settings: Settings) -> Any:
    """What a plane of codes decodes to, as a figure."""
    model = aezoo.load(row.weights[0])
    return plots.latent_manifold(model, n=settings.columns, title=row.words)


def samples(row: Row, settings: Settings) -> Any:
    """Samples from the prior, as a figure."""
    drawn = aezoo.load(row.weights[0]).sample(3 * settings.columns, SEED)
    return plots.sample_grid(drawn, settings.columns, title=row.words)


def basis(row: Row, settings: Settings) -> Any:
    """The mean and the first components of a linear model, as a figure."""
    model = aezoo.load(row.weights[0])
    count = min(3 * settings.columns - 1, model.latent_dim)
    weights, mean = (np.asarray(w) for w in model.decoder.pixels.get_weights())
    rows = weights[:count] / np.abs(weights[:count]).max(axis=1, keepdims=True)
    pictures = np.concatenate([mean[None], 0.5 + 0.5 * rows]).clip(0.0, 1.0)
    pictures = pictures.reshape(-1, *model.input_shape)
    return plots.sample_grid(pictures, settings.columns, title=row.words)


def factors(row: Row, settings: Settings) -> Any:
    """Single units moved, in one model a row of pictures, as a figure."""
    values = np.linspace(-2.0, 2.0, settings.columns).tolist()
    rows = {}
    for name in row.weights:
        model = aezoo.load(name)
        z = np.zeros((1, model.latent_dim), "float32")
        for unit in plots.most_visible_units(model, z, values, 3):
            beta = model.config["beta"]
            rows[f"beta {beta:g}, unit {unit}"] = model.traverse(z[0], unit, values)
    return plots.image_rows(rows, title=row.words)


def faces_with_glasses(row: Row, settings: Settings) -> Any:
    """Faces that a model reconstructs, with glasses put on and taken off."""
    from benchmarks.faces import glasses_vector

    train, test = (load_dataset("orl_faces", s, settings.data_dir)
                   for s in ("train", "test"))  # fmt: skip
    model = aezoo.load(row.weights[0])
    vector = glasses_vector(model, train)
    wears = factor_of(test, "glasses") == 1
    bare, worn = (
        images[:: max(1, len(images) // settings.columns)][: settings.columns]
        for images in (test.examples[~wears], test.examples[wears])
    )
    rows = {
        "reconstructed": model.edit(bare, vector, 0.0),
        "put on": model.edit(bare, vector, 1.5),
        "reconstructed ": model.edit(worn, vector, 0.0),
        "taken off": model.edit(worn, vector, -1.5),
    }
    return plots.image_rows(rows, title=row.words)


def letters_in_styles(row: Row, settings: Settings) -> Any:
    """The same letters in the styles of fonts that were never seen, as a figure."""
    from benchmarks.glyphs import CHARACTERS, GIVEN, read_fonts

    folder = Path(settings.data_dir or ".")
    train, test = (read_fonts(folder, split) for split in ("train", "test"))
    given = [CHARACTERS.index(letter) for letter in GIVEN]
    wanted = [CHARACTERS.index(c) for c in "AQRSbdknstwxy27"[: settings.columns]]
    shown = train[::25, wanted].swapaxes(0, 1)
    model = aezoo.load(row.weights[0])
    rows = {
        f"font {i}": model.complete(test[i, given], shown)
        for i in range(2, len(test), 6)
    }
    return plots.image_rows(rows, title=row.words)


def turned(row: Row, settings: Settings) -> Any:
    """Shapes that were never seen, turned by hand, a row for each place of the lamp."""
    test = load_dataset("turntable", "test", settings.data_dir)
    model = aezoo.load(row.weights[0])
    lamps = keras.ops.convert_to_numpy(model.value_means["light"])
    rows = {}
    for shape in (9, 12):
        (z,) = model.encode(test.examples[[96 * shape + 7]])
        for lamp, place in zip(lamps, ("left", "front", "right"), strict=True):
            z[model.group("light")] = lamp
            shown = model.move(z, "azimuth")[: settings.columns + 5]
            rows[f"shape {shape}, lamp {place}"] = shown
    return plots.image_rows(rows, title=row.words)


def looked_at(row: Row, settings: Settings) -> Any:
    """Where a model looks at drawn digits and where it draws them, as a figure."""
    shown, _ = draw_digits((settings.columns + 1) // 4, SEED + 1)
    return plots.attention_strip(aezoo.load(row.weights[0]), shown, title=row.words)


def repaired(row: Row, settings: Settings) -> Any:
    """Digits with noise, and what a denoising autoencoder makes of them."""
    shown, _ = draw_digits(settings.columns - 1, SEED + 1)
    model = aezoo.load(row.weights[0])
    noise = np.random.default_rng(SEED).standard_normal(shown.shape)
    noisy = np.clip(shown / 255.0 + model.corruption_level * noise, 0.0, 1.0)
    noisy = (255.0 * noisy).round().astype("uint8")
    rows = {"input": shown, "with noise": noisy, "denoised": model.reconstruct(noisy)}
    return plots.image_rows(rows, title=row.words)


def completed(row: Row, settings: Settings) -> Any:
    """Digits of which half is hidden, and completions by a masked autoencoder."""
    shown, _ = draw_digits(settings.columns - 1, SEED + 1)
    hidden = np.zeros(shown.shape[1:3], bool)
    hidden[len(hidden) // 2 :] = True
    (model,) = map(aezoo.load, row.weights)
    rows = {
        "input": shown,
        "seen": np.where(hidden[..., None], np.uint8(0), shown),
        "completed": model.inpaint(shown, hidden, 1, SEED)[:, 0],
    }
    return plots.image_rows(rows, title=row.words)


def checkerboards(row: Row, settings: Settings) -> Any:
    """What untrained decoders make of the same codes, by their way of upsampling."""
    z = np.random.default_rng(SEED).standard_normal((settings.columns - 1, 16))
    rows = {}
    for way in UPSAMPLING:
        keras.utils.set_random_seed(SEED)
        model = aezoo.create("conv_ae", latent_dim=16, upsampling=way)
        decoded = model.decode(z.astype("float32"))
        spread = np.quantile(decoded, (0.01, 0.99))
        name = way.replace("_", " ")
        rows[name] = np.clip((decoded - spread[0]) / np.ptp(spread), 0.0, 1.0)
    return plots.image_rows(rows, title=row.words)


def classes(row: Row, settings: Settings) -> Any:
    """Samples of each class, as a figure."""
    model = aezoo.load(row.weights[0])
    number = settings.columns - 1
    rows = {
        name: model.sample(number, SEED, sampler="autoregressive", labels=label)
        for label, name in enumerate(CLASSES)
    }
    return plots.image_rows(rows, title=row.words)


def dreamt(row: Row, settings: Settings) -> Any:
    """Frames as a model sees them, and as it dreams them from the first one on."""
    data = load_dataset("carracing", "test", settings.data_dir)
    model = aezoo.load(row.weights[0])
    start, step = 120, 3
    shown = slice(start, start + step * settings.columns)
    z = model.encode(data.examples[shown])
    actions = data.given["action"][shown][None]
    dream = model.dream(z[:1], actions[:, :-1], SEED, temperature=0.3)[0]
    rows = {
        "seen": model.decode(z)[::step],
        "dreamt": np.concatenate([model.decode(z[:1]), dream])[::step],
    }
    return plots.image_rows(rows, title=row.words)


ROWS = (
    Row(
        "components", "Linear autoencoder = PCA",
        "Digits from 1, 2, 5 and 10 components", draw=components,
    ),
    Row(
        "eigenfaces", "Eigenfaces", "The mean face and the first components",
        ("linear_ae_orl_faces_z32",), basis,
    ),
    Row(
        "balance", "VAE, its two terms",
        "Codes of digits under reconstruction alone, both terms, KL alone",
        draw=balance,
    ),
    Row(
        "denoised", "Denoising autoencoder", "Digits with noise, and without it again",
        ("denoising_conv_ae_mnist_z32",), repaired,
    ),
    Row(
        "completed", "Masked autoencoder", "Digits without their lower half, completed",
        ("masked_ae_mnist",), completed,
    ),
    Row(
        "checkerboards", "Checkerboards",
        "The same codes, decoded by untrained networks of three kinds",
        draw=checkerboards,
    ),
    Row(
        "manifold", "VAE, two latents", "What the plane of codes decodes to",
        ("dense_vae_mnist_z2",), picture="gallery/manifold.png",
        command="python -m training.gallery",
    ),
    Row(
        "frey", "Frey faces", "A plane of one face's expressions",
        ("dense_vae_frey_faces_z2",), plane,
    ),
    Row(
        "interpolation", "Interpolation", "From one digit to another",
        ("conv_vae_mnist_z16",), picture="gallery/interpolation.png",
        command="python -m training.gallery",
    ),
    Row(
        "beta", "beta-VAE", "Units of a VAE and of one with a weighted KL term",
        ("beta_vae_shapes_b1", "beta_vae_shapes_b16"), factors,
        note="Where lectures show beta 250 beside 1, it is of 64 x 64 values in three "
        "colours. Here a picture has 32 x 32, so that beta 16 weighs as much beside "
        "each value as 192 does there.",
    ),
    Row(
        "letters",
        "Style and content",
        "Letters in the styles of fonts that were never seen, from five of each",
        ("group_vae_glyphs",),
        letters_in_styles,
        "glyphs",
    ),
    Row(
        "turned", "Inverse graphics",
        "Shapes that were never seen, azimuth and lamp moved by their latents",
        ("dc_ign_turntable",), turned, "turntable",
    ),
    Row(
        "drawing", "DRAW", "Digits as they are drawn", ("draw_mnist",),
        picture="gallery/drawing.png", command="python -m training.gallery",
    ),
    Row(
        "gan", "Generative adversarial network",
        "Samples of a decoder that has no encoder", ("gan_mnist",), samples,
    ),
    Row(
        "windows", "Attention of DRAW",
        "Where digits are read, and where they are written, step by step",
        ("draw_mnist",), looked_at,
    ),
    Row(
        "levels", "Hierarchical VAE", "What each level of latents adds",
        ("hierarchical_vae_mnist",), picture="gallery/levels.png",
        command="python -m training.gallery",
    ),
    Row(
        "classes", "VQ-VAE-2 by class", "Samples of each class of CIFAR-10",
        ("vq_vae_2_cifar10",), classes,
    ),
    Row(
        "dreamt", "World model",
        "A drive as the model sees it, and as it dreams it from the first frame on",
        ("world_model_carracing",), dreamt, "carracing",
    ),
    Row(
        "futures", "Futures from one picture",
        "Paths that a motion VAE holds possible, and those that came",
        ("motion_vae_traffic",), picture="motion/fans.png",
        command="python -m benchmarks.motion --data-dir DIR --figure "
        "docs/motion/fans.png",
    ),
    Row(
        "larger", "Super-resolution",
        "A picture at a quarter of its size, and restored",
        ("restoration_photos_x4",), picture="restored/restoration_photos_x4.png",
        command="python -m benchmarks.restoration restoration_photos_x4 --figure "
        "docs/restored",
    ),
)  # fmt: skip


def page() -> str:
    """`docs/lectures.md`."""
    lines = [
        "# The lectures, in pictures",
        "",
        "What lectures on autoencoders show, drawn by the zoo. `python -m "
        "training.lectures` draws the pictures and writes this page; rows with "
        "`--data-dir` need the dataset, of which no picture is shown, only what models "
        "make of them.",
        "",
        "| system | what is seen | weights | drawn by |",
        "| --- | --- | --- | --- |",
    ]
    for row in ROWS:
        weights = ", ".join(f"`{name}`" for name in row.weights) or "trained there"
        lines.append(
            f"| {row.system} | [{row.words}](#{anchor(row)}) | {weights} | "
            f"`{row.made_by}` |"
        )
    for row in ROWS:
        lines += ["", f"## {row.system}", "", f"![{row.words}]({row.path})"]
        lines += ["", *textwrap.wrap(row.note, 88)] if row.note else []
    return "\n".join([*lines, ""])


def anchor(row: Row) -> str:
    """Of the heading of a row, as MkDocs makes it."""
    kept = "".join(c for c in row.system.lower() if c.isalnum() or c in " -")
    return "-".join(kept.split())


def draw(rows: tuple[Row, ...], settings: Settings, folder: Path) -> list[str]:
    """Draw those rows that can be; returns the names of the pictures.

    Args:
        rows: Which.
        settings: How.
        folder: Where.
    """
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        for row in rows:
            if row.draw is None or (row.dataset and settings.data_dir is None):
                continue
            write(row.name, row.draw(row, settings), folder)
            drawn.append(row.name)
    return drawn


@click.command(help=__doc__)
@click.option("--data-dir", type=click.Path(path_type=Path), help=".npz folder.")
@click.option(
    "--only", multiple=True, type=click.Choice([row.name for row in ROWS]),
    help="Rows to draw; repeatable. Default: all.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=DOCS)
def main(data_dir: Path | None, only: tuple[str, ...], out: Path) -> None:
    """Command line."""
    rows = tuple(row for row in ROWS if not only or row.name in only)
    try:
        draw(rows, Settings(data_dir=data_dir), out / "lectures")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    with atomic_path(out / "lectures.md") as path:
        path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
