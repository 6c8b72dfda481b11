"""The path between two examples, with a position to move."""

from typing import Any

from aezoo.explorer import views
from aezoo.explorer.components import CAN, QUICK, Input, Shown, Tab, gr, progress_on
from aezoo.explorer.shelf import Opened
from aezoo.explorer.views import Answer


class PathTab(Tab):
    """The path between two examples, with a position to move."""

    title = "Path"

    def build(self) -> None:
        """Make the components."""
        self.positions = gr.State([])
        with gr.Row():
            with gr.Column(min_width=280):
                self.a = Input("The first example", 0)
                self.b = Input("The second example", 1)
                self.method = gr.Radio(
                    ["spherical", "linear"], value="spherical", label="Path"
                )
                self.run = gr.Button("Find the path", variant="primary")
            with gr.Column(min_width=280):
                self.at = gr.Slider(
                    0, views.POSITIONS - 1, 0, step=1, label="Position on the path"
                )
                self.one = Shown("At that position", lines=2)
                self.whole = Shown("The whole path", lines=8)
        self.parts = [*self.a.parts, *self.b.parts, self.positions]
        self.parts += [*self.one.parts, *self.whole.parts]

    def connect(self) -> None:
        """Connect them."""
        shown = [*self.one.parts, *self.whole.parts]
        self.on(
            [self.run.click],
            self._path,
            [self.method, self.at, *self.a.asked, *self.b.asked],
            [self.positions, *shown],
        )
        self.at.input(
            self._move,
            [self.positions, self.at],
            self.one.parts,
            api_visibility="private",
            show_progress_on=progress_on(self.one.parts),
            **QUICK,
        )

    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`."""
        inputs = [*self.a.changed(opened), *self.b.changed(opened)]
        return [*CAN, *inputs, [], *Shown.empty(), *Shown.empty()]

    def _path(self, opened: Opened, method: str, at: float, *asked: Any) -> list[Any]:
        half = len(asked) // 2
        a, _ = self.a.read(opened, *asked[:half])
        b, _ = self.b.read(opened, *asked[half:])
        whole, positions = views.path(opened, a, b, method)
        one = positions[int(at)]
        return [positions, *Shown.of(one), *Shown.of(whole)]

    @staticmethod
    def _move(positions: list[Answer], at: float) -> list[Any]:
        if not positions:
            return Shown.empty("Find the path first.")
        return Shown.of(positions[int(at)])
