"""An example, its reconstruction, its code, and its neighbours."""

import dataclasses
from typing import Any

from aezoo.explorer import views
from aezoo.explorer.components import CAN, Input, Shown, Tab, gr, label_of
from aezoo.explorer.shelf import Opened


class ExampleTab(Tab):
    """An example, its reconstruction, its code, and its neighbours."""

    title = "Example"

    def build(self) -> None:
        """Make the components."""
        with gr.Row():
            with gr.Column(min_width=280):
                self.input = Input("The example", drawn=True)
                self.run = gr.Button("Reconstruct", variant="primary")
                self.find = gr.Button("Nearest training examples")
            with gr.Column(min_width=280):
                self.shown = Shown("Example and reconstruction")
                self.code = gr.Dataframe(
                    headers=["unit", "value"], label="Its code", max_height=240
                )
                self.near = Shown("Nearest training examples")
        self.parts = [*self.input.parts, *self.shown.parts, self.code]
        self.parts += self.near.parts

    def connect(self) -> None:
        """Connect them."""
        asked = [self.top.label, *self.input.asked]
        shown = [*self.shown.parts, self.code]
        self.on([self.run.click], self._reconstruct, asked, shown)
        self.on([self.find.click], self._find, asked, self.near.parts)

    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`."""
        answer, code = views.reconstruction(opened, opened.examples(1, 0))
        return [
            *CAN,
            *self.input.changed(opened),
            *Shown.of(answer),
            gr.update(value=code, visible=bool(code)),
            *Shown.empty(),
        ]

    def _reconstruct(self, opened: Opened, label: str, *asked: Any) -> list[Any]:
        x, note = self.input.read(opened, *asked)
        answer, code = views.reconstruction(opened, x, label_of(label))
        answer = dataclasses.replace(answer, note=f"{answer.note} {note}".strip())
        return [*Shown.of(answer), gr.update(value=code, visible=bool(code))]

    def _find(self, opened: Opened, _label: str, *asked: Any) -> list[Any]:
        x, _ = self.input.read(opened, *asked)
        return Shown.of(self.top.neighbours.of(opened, x))
