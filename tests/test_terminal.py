"""Nothing that others wrote reaches the terminal raw, whatever command shows it."""

import hashlib
import io
import json
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import aezoo
from aezoo.cli import main
from aezoo.cli._terminal import echo, print_json, printable, printable_errors
from aezoo.modalities.image.digits import draw_digits

# A title, a colour, a cursor by an 8-bit control sequence, a turn of direction.
EVIL = "\x1b]0;t\x07\x1b[31m\x9b2J\u202e"
SHOWN = r"\x1b]0;t\x07\x1b[31m\x9b2J\u202e"
CLI = Path(aezoo.__file__).parent / "cli"


def run(*arguments: Any) -> str:
    """Everything that a command prints where a terminal shows colours."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], color=True)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.output


def raw(text: str) -> str:
    """What is not printable, besides the styles that aezoo itself uses."""
    own = re.sub(r"\x1b\[(0|1|31)m(?!\x9b)", "", text.replace(EVIL, "\0"))
    return "".join(c for c in own if not c.isprintable() and c != "\n")


# --- The one place --------------------------------------------------------------------


def test_what_is_printable_stays_as_it_is() -> None:
    for text in ("plain", "two\nlines", "Größe 3 …", "数字", "", 'a "quote" \\x1b'):
        assert printable(text) == text
    assert printable(3) == "3"


@pytest.mark.parametrize(
    "code", [*range(32), 0x7F, 0x9B, 0x200B, 0x202E, 0xDC80, 0xE000]
)
def test_what_is_not_is_escaped(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    letter = chr(code)
    if letter == "\n":
        return
    assert printable(f"a{letter}b").isprintable()
    assert printable(letter).encode().decode("unicode_escape") == letter
    echo(f"a{letter}b")
    print_json({letter: [letter]})
    shown = capsys.readouterr().out
    assert not raw(shown)
    assert json.loads(shown.partition("\n")[2]) == {letter: [letter]}


def test_commands_print_in_no_other_way() -> None:
    files = {path.name: path.read_text() for path in CLI.glob("*.py")}
    assert len(files) > 5
    del files["_terminal.py"]
    for name, text in files.items():
        assert not re.search(r"click\.s?echo|click\.style|\bprint\(|stdout", text), name


def test_errors_and_warnings_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def command() -> None:
        raise click.BadParameter(EVIL, param_hint=EVIL)

    context = click.Context(command, info_name="aezoo")
    with pytest.raises(click.UsageError) as caught, printable_errors():
        command.invoke(context)
    assert caught.value.exit_code == 2
    assert SHOWN in caught.value.format_message()
    with pytest.raises(click.ClickException) as failure, printable_errors():
        raise click.ClickException(EVIL)
    assert (failure.value.exit_code, failure.value.message) == (1, SHOWN)
    with printable_errors():
        warnings.simplefilter("always")
        warnings.warn(EVIL, stacklevel=1)
    assert capsys.readouterr().err == f"Warning: {SHOWN}\n"


# --- Folders of others ----------------------------------------------------------------

Change = Callable[[Path], None]


def edit(change: Callable[[dict[str, Any]], Any]) -> Change:
    """A change of the entry in `aezoo.json`."""

    def apply(folder: Path) -> None:
        path = folder / "aezoo.json"
        entry = json.loads(path.read_text())
        change(entry)
        path.write_text(json.dumps(entry))

    return apply


def seal(folder: Path, kind: str, content: bytes) -> None:
    """Another file under the name, size and hash of which the entry tells."""

    def change(entry: dict[str, Any]) -> None:
        facts = entry["samplers"]["gmm"] if kind == "gmm" else entry[kind]
        (folder / facts["file"]).write_bytes(content)
        facts["sha256"] = hashlib.sha256(content).hexdigest()
        if "bytes" in facts:
            facts["bytes"] = len(content)

    edit(change)(folder)


def links(make: Callable[[h5py.File], Any]) -> Change:
    def apply(folder: Path) -> None:
        file = io.BytesIO((folder / "model.weights.h5").read_bytes())
        with h5py.File(file, "r+") as weights:
            make(weights)
        seal(folder, "weights", file.getvalue())

    return apply


def members(kind: str, **arrays: bytes) -> Change:
    def apply(folder: Path) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in arrays.items():
                archive.writestr(name, content)
        seal(folder, kind, file.getvalue())

    return apply


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


def rename(folder: Path) -> None:
    (folder / "model.weights.h5").rename(folder / f"{EVIL}.h5")
    edit(lambda entry: entry["weights"].update(file=f"{EVIL}.h5"))(folder)


METRIC = {"value": 0.5, "unit": EVIL, "protocol": EVIL}
FOLDERS: dict[str, Change] = {
    "nothing": lambda _: None,
    "name": edit(lambda e: e.update(name=EVIL)),
    "family": edit(lambda e: e.update(family=EVIL)),
    "description": edit(lambda e: e.update(description=EVIL)),
    "licence and tasks": edit(lambda e: e.update(license=EVIL, tasks=[EVIL])),
    "field": edit(lambda e: e.update({EVIL: EVIL})),
    "configuration": edit(lambda e: e["config"].update({EVIL: 1})),
    "argument": edit(lambda e: e["config"].update(likelihood=EVIL)),
    "metrics": edit(lambda e: e.update(metrics={EVIL: {EVIL: METRIC}})),
    "file that is not there": edit(lambda e: e["weights"].update(file=f"{EVIL}.h5")),
    "file outside": edit(lambda e: e["weights"].update(file=f"../{EVIL}")),
    "file": rename,
    "hash": edit(lambda e: e["weights"].update(sha256=EVIL)),
    "sampler": edit(lambda e: e.update(samplers={EVIL: e["samplers"]["gmm"]})),
    "group": links(lambda file: file.create_group(EVIL)),
    "soft link": links(lambda file: file.update({EVIL: h5py.SoftLink("/" + EVIL)})),
    "outer link": links(lambda file: file.update({EVIL: h5py.ExternalLink(EVIL, "a")})),
    "golden member": members("golden", **{f"{EVIL}.npy": npy([1.0])}),
    "golden text": members("golden", **{EVIL: b"text"}),
    "sampler member": members("gmm", **{f"{EVIL}.npy": npy([1.0])}),
    "sampler words": members("gmm", **{"config.npy": npy(json.dumps({"kind": EVIL}))}),
    "no JSON": lambda folder: (folder / "aezoo.json").write_text(EVIL) and None,
}
COMMANDS: dict[str, tuple[Any, ...]] = {
    "describe": ("describe", "{model}"),
    "describe --json": ("describe", "{model}", "--json"),
    "verify": ("verify", "{model}"),
    "verify --json": ("verify", "{model}", "--json"),
    "sample": ("sample", "{model}", "-n", "1", "--sampler", "gmm", "-o", "{out}.png"),
    "reconstruct": ("reconstruct", "{model}", "{image}", "-o", "{out}.png"),
    "encode": ("encode", "{model}", "{image}", "-o", "{out}.npz"),
    "encode all": ("encode", "{model}", "{images}", "-o", "{out}.parquet"),
    "evaluate": ("evaluate", "{model}", "{images}", "--metrics", "mse", "--json"),
    "outliers": ("outliers", "{model}", "{images}", "--json"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    digits = draw_digits(20, seed=0)[0]
    model = aezoo.create("dense_vae", latent_dim=2, hidden_units=(4,))
    aezoo.fit_sampler(model, digits, "gmm", num_components=1)
    return aezoo.save(model, tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images, one of which is damaged, in a folder of such a name."""
    folder = tmp_path / "images"
    for name in ("a", EVIL):
        (folder / name).mkdir(parents=True)
        for i, digit in enumerate(draw_digits(3, seed=1)[0]):
            large = digit[..., 0].repeat(2, 0)  # a conversion to tell of
            Image.fromarray(large).save(folder / name / f"{EVIL}{i}.png")
    return folder


def fill(command: str, model: Path, images: Path, out: Path) -> list[str]:
    image = images / EVIL / f"{EVIL}0.png"
    names = {"model": model, "images": images, "image": image, "out": out}
    return [part.format(**names) for part in COMMANDS[command]]


SAMPLE = [
    pytest.param(
        change,
        command,
        marks=()
        if (i + j) % 3 == 0 or "describe" in command
        else pytest.mark.exhaustive,
    )
    for i, change in enumerate(FOLDERS)
    for j, command in enumerate(COMMANDS)
]


@pytest.mark.parametrize(("change", "command"), SAMPLE)
def test_no_folder_steers_the_terminal(
    change: str, command: str, saved: Path, images: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(saved, tmp_path / "model"))
    FOLDERS[change](model)
    told = run(*fill(command, model, images, tmp_path / "out"))
    assert told.strip()
    assert raw(told) == ""
    if "--json" in command and change == "description" and "describe" in command:
        assert json.loads(told)["description"] == EVIL


@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_of_a_folder_steers_the_terminal(
    command: str, saved: Path, images: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(saved, tmp_path / EVIL))
    assert raw(run(*fill(command, model, images, tmp_path / "out"))) == ""
    shutil.rmtree(model)
    assert raw(run(*fill(command, model, images, tmp_path / "out"))) == ""


# --- Images of others ----------------------------------------------------------------


def damage(folder: Path) -> None:
    (folder / EVIL / f"{EVIL}0.png").write_bytes(b"no image")


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("command", ["encode all", "outliers", "cluster", "nearest"])
def test_no_name_of_an_image_steers_the_terminal(
    command: str, on_error: str, saved: Path, images: Path, tmp_path: Path
) -> None:
    damage(images)
    model, out = str(saved), tmp_path / "out"
    whole = str(images / EVIL / f"{EVIL}1.png")
    arguments = {
        "encode all": ["encode", model, str(images), "-o", f"{out}.parquet"],
        "outliers": ["outliers", model, str(images)],
        "cluster": ["cluster", model, str(images), "-k", "2"],
        "nearest": ["nearest", model, whole, str(images), "-k", "2"],
    }[command]
    told = run(*arguments, "--on-error", on_error)
    assert SHOWN in told
    assert raw(told) == ""


@pytest.mark.parametrize("kind", ["no archive", "member", "names"])
def test_no_archive_steers_the_terminal(kind: str, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{EVIL}.npz"
    content = {
        "no archive": {},
        "member": {"images.npy": b"\x93NUMPY" + EVIL.encode(), EVIL: b""},
        "names": {"images.npy": npy(np.zeros((2, 3, 3, 1))), EVIL: b""},
    }[kind]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    if kind == "no archive":
        path.write_text(EVIL)
    out = tmp_path / "out.parquet"
    for command in (
        ("encode", saved, path, "-o", out),
        ("evaluate", saved, path, "--metrics", "mse"),
        ("cluster", saved, path, "-k", "2"),
    ):
        told = run(*command)
        assert SHOWN in told
        assert raw(told) == ""


@pytest.mark.parametrize(
    "command", ["list", "describe", "sample", "download", "metrics"]
)
def test_no_argument_comes_back_raw(command: str) -> None:
    for argument in (EVIL, f"--{EVIL}", f"./{EVIL}", f"hf://{EVIL}/a"):
        told = run(command, argument)
        assert raw(told) == ""
    assert raw(run(EVIL)) == raw(run(f"--{EVIL}")) == ""
