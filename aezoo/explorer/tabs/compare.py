"""Two models side by side."""

from typing import Any

from aezoo.explorer import views
from aezoo.explorer.components import CAN, Shown, Tab, cannot, gr, seed_of
from aezoo.explorer.shelf import Opened


class CompareTab(Tab):
    """Two models side by side."""

    title = "Compare"

    def build(self) -> None:
        """Make the components."""
        self.other = gr.Dropdown([], label="The other model")
        self.seed = gr.Number(0, label="Compare: seed", precision=0, minimum=0)
        self.run = gr.Button("Compare", variant="primary")
        with gr.Row():
            with gr.Column(min_width=280):
                self.first = [Shown("Reconstructions"), Shown("Samples")]
            with gr.Column(min_width=280):
                self.second = [
                    Shown("Reconstructions of the other"),
                    Shown("Samples of the other"),
                ]
        self.shown = [p for s in (*self.first, *self.second) for p in s.parts]
        self.parts = [self.other, *self.shown]

    def connect(self) -> None:
        """Connect them."""
        asked = [self.other, self.seed]
        self.on([self.run.click], self._compare, asked, self.shown)

    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`."""
        empty = [p for _ in (*self.first, *self.second) for p in Shown.empty()]
        if "reconstruction" not in opened.model.TASKS:
            return [*cannot(f"{opened.name} reconstructs nothing."), gr.skip(), *empty]
        names = self.top.shelf.like(opened)
        return [*CAN, gr.update(choices=names, value=names[0]), *empty]

    def _compare(self, opened: Opened, other: str, seed: float | None) -> list[Any]:
        with self.top.shelf.use(other) as second:
            return [
                part
                for answer in views.compared(opened, second, seed_of(seed))
                for part in (Shown.of(answer) if answer else Shown.empty("No prior."))
            ]
