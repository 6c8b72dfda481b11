"""How hierarchical models and those that draw come to an example."""

from typing import Any

from aezoo.explorer import views
from aezoo.explorer.components import CAN, Shown, Tab, cannot, gr, seed_of
from aezoo.explorer.shelf import Opened


class StepsTab(Tab):
    """How hierarchical models and those that draw come to an example."""

    title = "Steps"

    def build(self) -> None:
        """Make the components."""
        self.seed = gr.Number(0, label="Steps: seed", precision=0, minimum=0)
        self.run = gr.Button("Show the steps", variant="primary")
        self.levels = Shown("An example, level by level")
        self.drawn = Shown("New examples, step by step")

    def connect(self) -> None:
        """Connect them."""
        shown = [*self.levels.parts, *self.drawn.parts]
        self.on([self.run.click], self._steps, [self.seed], shown)

    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`."""
        model = opened.model
        known = ("reconstruct_by_level", "generate_steps")
        if any(hasattr(model, name) for name in known):
            return [*CAN]
        why = f"{opened.name} makes an example in one go: no level or step to show."
        return [*cannot(why)]

    @staticmethod
    def _steps(opened: Opened, seed: float | None) -> list[Any]:
        x = opened.examples(4, seed_of(seed))
        found = views.steps(opened, x, 4, seed_of(seed))
        return [p for a in found for p in (Shown.of(a) if a else Shown.empty())]
