"""A plane of codes to click on."""

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


class PlaneTab(Tab):
    """A plane of codes to click on."""

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
                self.plane = Shown("The plane; click on it")
            with gr.Column(min_width=280):
                self.point = Shown("Where you clicked")
        with gr.Row():
            self.x = gr.Slider(0, 1, 0.5, step=0.005, label="Position to the right")
            self.y = gr.Slider(0, 1, 0.5, step=0.005, label="Position upwards")
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
        self.plane.picture.select(
            self._click,
            [self.top.name, *where],
            [self.x, self.y, *self.point.parts],
            api_visibility="private",
            show_progress="hidden",
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

    def _click(
        self,
        event: gr.SelectData,
        name: str,
        across: str,
        down: str,
        seed: float | None,
        label: str,
    ) -> list[Any]:
        def view(opened: Opened) -> list[Any]:
            height, width = views.plane_size(opened)
            x = float(np.clip(event.index[0] / width, 0, 1))
            y = float(np.clip(1 - event.index[1] / height, 0, 1))
            return [x, y, *self._at(opened, across, down, seed, label, x, y)]

        return self.top.answering(view)(name)


def _index(opened: Opened, title: str) -> int:
    """The unit of a title.

    Raises:
        ValueError: If the model that is shown by now has none of that title.
    """
    for unit in opened.units:
        if unit.title == title:
            return unit.index
    raise ValueError(f"{opened.name!r} has no unit {title!r:.80}. Choose one.")
