"""A plane of codes to click on and to drag through."""

from typing import Any

import numpy as np

from aezoo.explorer import views
from aezoo.explorer.components import (
    CAN,
    QUICK,
    Shown,
    Tab,
    cannot,
    gr,
    label_of,
    seed_of,
)
from aezoo.explorer.shelf import Opened

# While a pointer is pressed on the picture, both positions follow it.
DRAG = """() => {
  const set = (name, share) => {
    const slider = document.querySelector(`.${name} input[type=range]`);
    slider.value = Math.min(Math.max(share, 0), 1);
    slider.dispatchEvent(new Event("input", {bubbles: true}));
  };
  const follow = (event) => {
    const image = event.target.closest?.(".plane img");
    if (!image || event.buttons !== 1) return;
    event.preventDefault();
    const box = image.getBoundingClientRect();  // in whose middle the picture is
    const {naturalWidth: width, naturalHeight: height} = image;
    const scale = Math.min(box.width / width, box.height / height);
    const from = (low, size, at) => 0.5 + (at - low - size[0] / 2) / (scale * size[1]);
    set("plane-x", from(box.left, [box.width, width], event.clientX));
    set("plane-y", 1 - from(box.top, [box.height, height], event.clientY));
  };
  document.addEventListener("pointerdown", follow);
  document.addEventListener("pointermove", follow);
  document.addEventListener("dragstart", (event) => {
    if (event.target.closest?.(".plane img")) event.preventDefault();
  });
}"""


class PlaneTab(Tab):
    """A plane of codes to click on and to drag through."""

    title = "Plane"

    def build(self) -> None:
        """Make the components."""
        with gr.Row():
            self.across = gr.Dropdown([], label="To the right")
            self.down = gr.Dropdown([], label="Upwards")
            self.seed = gr.Number(0, label="Plane: seed", precision=0, minimum=0)
            self.draw = gr.Button("Draw the plane")
        with gr.Row():
            with gr.Column(min_width=280):
                self.plane = Shown("The plane; drag through it", classes=("plane",))
            with gr.Column(min_width=280):
                self.point = Shown("Where you are")
        with gr.Row():
            self.x, self.y = (
                gr.Slider(0, 1, 0.5, step=0.005, label=label, elem_classes=[name])
                for label, name in (
                    ("Position to the right", "plane-x"),
                    ("Position upwards", "plane-y"),
                )
            )
        self.parts = [self.across, self.down, *self.plane.parts, *self.point.parts]

    def connect(self) -> None:
        """Connect them."""
        where = [self.across, self.down, self.seed, self.top.label]
        self.on([self.draw.click, self.tab.select], self._draw, where, self.plane.parts)
        self.on(
            [self.x.input, self.y.input],
            self._at,
            [*where, self.x, self.y],
            self.point.parts,
            **QUICK,
        )

    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`."""
        titles = [unit.title for unit in opened.units]
        is_shown = len(titles) >= 2 and opened.model.modality.is_shown
        if not is_shown:
            skipped = [gr.skip(), gr.skip()]
            rest = [*skipped, *Shown.empty(), *Shown.empty()]
            why = f"Codes of {opened.name} are no vectors whose examples are pictures."
            return [*cannot(why), *rest]
        return [
            *CAN,
            gr.update(choices=titles, value=titles[0]),
            gr.update(choices=titles, value=titles[1]),
            *Shown.empty(),
            *Shown.empty(),
        ]

    def _draw(
        self, opened: Opened, across: str, down: str, seed: float | None, label: str
    ) -> list[Any]:
        z = self._base(opened, seed, label)
        units = _index(opened, across), _index(opened, down)
        return Shown.of(views.manifold(opened, z, *units, label_of(label)))

    def _base(self, opened: Opened, seed: float | None, label: str) -> np.ndarray:
        return views.code_of(opened, opened.examples(1, seed_of(seed)), label_of(label))

    def _at(
        self,
        opened: Opened,
        across: str,
        down: str,
        seed: float | None,
        label: str,
        x: float,
        y: float,
    ) -> list[Any]:
        z = self._base(opened, seed, label)
        for title, share in ((across, x), (down, y)):
            index = _index(opened, title)
            values = views.axis(opened, index)
            z[0, index] = values[0] + min(max(share, 0), 1) * (values[-1] - values[0])
        return Shown.of(views.decoded(opened, z, label_of(label)))


def _index(opened: Opened, title: str) -> int:
    """The unit of a title.

    Raises:
        ValueError: If the model that is shown by now has none of that title.
    """
    for unit in opened.units:
        if unit.title == title:
            return unit.index
    raise ValueError(f"{opened.name!r} has no unit {title!r:.80}. Choose one.")
