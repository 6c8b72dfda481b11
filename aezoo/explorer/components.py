"""What the tabs of the page are made of, and what all of them share."""

import abc
import functools
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.errors import AezooError
from aezoo.explorer import EXTRA, views
from aezoo.explorer.neighbours import Neighbours
from aezoo.explorer.shelf import Opened, Shelf
from aezoo.explorer.views import Answer
from aezoo.utils.extras import require

# Before Gradio is imported: nothing is reported to anybody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
gr: Any = require("gradio", EXTRA, "The explorer")

EXAMPLE, FILE, DRAWING, WORDS = "An example", "A file", "A drawing", "My own words"
# Of labels: no one class.
ANY = "any"
# Of what is no part of an interface for programs, and shows no progress.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# Of what shows an answer while a slider moves.
QUICK = {"show_progress": "hidden", "trigger_mode": "always_last", "queue": False}


class Top:
    """What stands above the tabs: which model, and which class it is told.

    Args:
        shelf: The models.
        first: The one that is shown first.
    """

    def __init__(self, shelf: Shelf, first: str) -> None:
        self.shelf, self.neighbours = shelf, Neighbours()
        with gr.Row():
            self.name = gr.Dropdown(list(shelf.names), value=first, label="Model")
            self.label = gr.Dropdown([ANY], value=ANY, label="Class", visible=False)
        self.about = gr.Markdown()

    def answering(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """A handler whose first argument, a name, becomes the opened model.

        What is told to users is told on the page, and nothing else is.
        """

        @functools.wraps(view)
        def handler(name: str, *arguments: Any) -> Any:
            try:
                with self.shelf.use(name) as opened:
                    return view(opened, *arguments)
            except (AezooError, ValueError, OSError) as error:
                raise gr.Error(_one_line(error), print_exception=False) from error

        return handler


class Shown:
    """A picture or lines of text, with the lines of Python that give the same.

    Args:
        label: What is shown.
        lines: Of text.
        classes: Of the picture, in the page's style sheet.
    """

    def __init__(
        self, label: str, *, lines: int = 4, classes: Sequence[str] = ()
    ) -> None:
        gr.Markdown(f"#### {label}")
        self.picture = gr.Image(
            label=label,
            show_label=False,
            interactive=False,
            format="png",
            type="numpy",
            buttons=["download", "fullscreen"],
            elem_classes=["picture", *classes],
            alt_text=label,
        )
        self.text = gr.Textbox(
            label=label,
            show_label=False,
            lines=lines,
            visible=False,
            buttons=["copy"],
        )
        self.sound = gr.Audio(
            label=f"{label}, to listen to",
            format="wav",
            interactive=False,
            visible=False,
            buttons=["download"],
        )
        self.solid = gr.Plot(label=f"{label}, to turn", visible=False)
        self.note = gr.Markdown()
        self.code = gr.Code(
            language="python",
            label=f"{label}, in Python",
            interactive=False,
            lines=2,
        )
        self.parts = [self.picture, self.text, self.sound, self.solid]
        self.parts += [self.note, self.code]

    @staticmethod
    def of(answer: Answer) -> list[Any]:
        """What the components show then."""
        hidden = gr.update(visible=False)
        rest = [hidden, hidden, answer.note, answer.code]
        if answer.sound is not None:
            rest[0] = gr.update(value=answer.sound, visible=True)
        if answer.mesh is not None:
            rest[1] = gr.update(value=_turned(answer.mesh), visible=True)
        if answer.picture is None:
            text = gr.update(value="\n".join(answer.lines), visible=True)
            return [hidden, text, *rest]
        return [gr.update(value=answer.picture, visible=True), hidden, *rest]

    @staticmethod
    def empty(note: str = "") -> list[Any]:
        """What they show where there is nothing."""
        hidden = gr.update(visible=False)
        return [*[gr.update(value=None)] * 2, hidden, hidden, note, ""]


class Input:
    """Where an example comes from: a seed, a file, a drawing, or words."""

    def __init__(self, title: str, seed: int = 0, *, drawn: bool = False) -> None:
        self.is_drawn = drawn
        self.kind = gr.Radio([EXAMPLE], value=EXAMPLE, label=f"{title} comes from")
        self.seed = gr.Number(seed, label=f"{title}: seed", precision=0, minimum=0)
        self.file = gr.File(label=f"{title}: file", type="filepath", visible=False)
        self.invert = gr.Checkbox(
            label=f"{title}: dark ink on light paper", visible=False
        )
        self.drawing = gr.Sketchpad(
            label=f"{title}: drawing",
            type="numpy",
            image_mode="RGBA",
            canvas_size=(280, 280),
            sources=(),
            layers=False,
            transforms=(),
            brush=gr.Brush(default_size=22, default_color="#000", colors=["#000"]),
            visible=False,
        )
        self.words = gr.Textbox(label=f"{title}: words", visible=False)
        self.taken = gr.State()  # the file's name and bytes
        self.file.upload(self._take, [self.file], [self.taken], **PRIVATE)
        self.file.clear(lambda: None, None, [self.taken], **PRIVATE)
        self.parts = [self.kind, self.seed]
        self.asked = [*self.parts, self.taken, self.invert, self.drawing, self.words]
        self.kind.change(
            self._show_kind,
            [self.kind],
            [self.seed, self.file, self.invert, self.drawing, self.words],
            show_progress="hidden",
        )

    def changed(self, opened: Opened) -> list[Any]:
        """Of the parts, for a model."""
        choices = [EXAMPLE]
        if opened.is_text:
            choices.append(WORDS)
        elif opened.model.modality.suffixes:
            choices.append(FILE)
            choices += [DRAWING] * (opened.is_image and self.is_drawn)
        return [gr.update(choices=choices, value=EXAMPLE), gr.skip()]

    @staticmethod
    def _take(file: str) -> tuple[str, bytes]:
        """Keep an upload with its page, and nothing of it on the disk."""
        path = Path(file)
        content = path.read_bytes()
        path.unlink()
        return path.name, content

    @staticmethod
    def _show_kind(kind: str) -> list[Any]:
        kinds = (EXAMPLE, FILE, FILE, DRAWING, WORDS)
        return [gr.update(visible=kind == wanted) for wanted in kinds]

    @staticmethod
    def read(
        opened: Opened,
        kind: str,
        seed: float | None,
        taken: tuple[str, bytes] | None,
        invert: bool,
        drawing: Any,
        words: str,
    ) -> tuple[np.ndarray, str]:
        """The example, `(1, *input_shape)`, and a remark."""
        if kind == WORDS:
            return views.read_text(opened, words), ""
        if kind == FILE:
            if taken is None:
                raise ValueError("Choose a file first.")
            name, content = taken
            return _from_bytes(opened, name, content, invert)
        if kind == DRAWING:
            return _drawn(opened, drawing), ""
        return opened.examples(1, seed_of(seed)), ""


# Of a tab: that it is for the model.
CAN = (gr.update(visible=True), "")


def cannot(why: str) -> tuple[Any, str]:
    """Of a tab: that it is not for the model, and why."""
    return gr.update(visible=False), why


class Tab(abc.ABC):
    """A tab of the page; its `parts` change with the model."""

    title = ""

    def __init__(self, top: Top) -> None:
        self.top = top
        self.parts: list[Any] = []
        with gr.Tab(self.title, id=self.title.lower()) as self.tab:
            self.why = gr.Markdown()
            with gr.Column() as self.body:
                self.build()
        self.parts = [self.body, self.why, *self.parts]

    @abc.abstractmethod
    def build(self) -> None:
        """Make the components."""

    @abc.abstractmethod
    def connect(self) -> None:
        """Connect them."""

    @abc.abstractmethod
    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`: of the first two, `CAN` or `cannot(why)`."""

    def on(
        self,
        events: Sequence[Any],
        view: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        **options: Any,
    ) -> Any:
        """Answer events: the view gets the opened model, then the inputs' values."""
        options = {"show_progress_on": progress_on(outputs), **options}
        return gr.on(
            list(events),
            self.top.answering(view),
            [self.top.name, *inputs],
            list(outputs),
            api_visibility="private",
            **options,
        )


def progress_on(outputs: Sequence[Any]) -> list[Any] | None:
    """The one component that shows progress: a picture, else the first that is seen.

    The page keeps track of each of them, and goes through all whenever a slider moves.
    """
    seen = [part for part in outputs if not isinstance(part, gr.State)]
    pictures = [part for part in seen if isinstance(part, gr.Image)]
    return (pictures or seen)[:1] or None


# --- Values that a page gets ---------------------------------------------------------


def _turned(mesh: Any) -> Any:
    """A mesh as a figure that is turned with the pointer."""
    objects = require("plotly.graph_objects", EXTRA, "The explorer")
    x, y, z = mesh.vertices.T
    i, j, k = mesh.faces.T
    surface = objects.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color="#9aa7b8")
    axes = {key: {"visible": False} for key in ("xaxis", "yaxis", "zaxis")}
    return objects.Figure(
        surface,
        {
            "scene": {"aspectmode": "data", **axes},
            "margin": dict.fromkeys("lrtb", 0),
            "height": views.HEIGHT,
        },
    )


# --- Values that a page sends --------------------------------------------------------


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def seed_of(seed: float | None) -> int:
    """A seed that a page sent, which may be empty."""
    return min(max(int(seed or 0), 0), 2**31 - 1)


def label_of(label: str | None) -> int | None:
    """A class that a page sent; None for any."""
    return None if label in (None, ANY) else int(label)


def _drawn(opened: Opened, drawing: Any) -> np.ndarray:
    """What was drawn, as a file that was sent is read: ink as bright as can be."""
    ink = None if drawing is None else drawing.get("composite")
    if ink is None or not np.any(ink[..., 3]):
        raise ValueError("Draw something first.")
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(ink[..., 3])).save(file, "png")
    return _from_bytes(opened, "drawing.png", file.getvalue())[0]


def _from_bytes(
    opened: Opened, name: str, content: bytes, invert: bool = False
) -> tuple[np.ndarray, str]:
    """An example from the bytes of a file, and a remark, as of any file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        try:
            return views.read_upload(opened, file, invert)
        except AezooError as error:  # its place on this machine is nobody's affair
            raise ValueError(str(error).replace(str(file), name)) from error
