"""New examples, whose settings stand in the address."""

from typing import Any

from aezoo.explorer import views
from aezoo.explorer.components import (
    ANY,
    CAN,
    Shown,
    Tab,
    cannot,
    gr,
    label_of,
    seed_of,
)
from aezoo.explorer.shelf import Opened

NUMBER = 36
# Temperatures of the slider, as an address writes them.
_HEATS = {f"{i * 0.05:.3g}" for i in range(31)}
_ADDRESS = """(model, source, seed, label, heat) => {
    const query = new URLSearchParams({model, source: source ?? "", seed, label, heat});
    history.replaceState(null, "", "?" + query + "#samples");
    return [];
}"""


class SampleTab(Tab):
    """New examples, whose settings stand in the address."""

    title = "Samples"

    def build(self) -> None:
        """Make the components."""
        with gr.Row():
            with gr.Column(min_width=280):
                self.source = gr.Radio([], label="Codes come from")
                self.number = gr.Slider(
                    1, views.MAX_SAMPLES, NUMBER, step=1, label="How many"
                )
                self.seed = gr.Number(0, label="Samples: seed", precision=0, minimum=0)
                self.heat = gr.Slider(
                    0, 1.5, 1.0, step=0.05, label="Temperature", visible=False
                )
                self.run = gr.Button("Sample", variant="primary")
                self.next = gr.Button("Next seed")
            with gr.Column(min_width=280):
                self.shown = Shown("Samples", lines=12)
        self.linked = [self.source, self.heat, self.seed, *self.shown.parts]
        self.parts = [self.source, self.heat, *self.shown.parts]

    def connect(self) -> None:
        """Connect them."""
        top = self.top
        asked = [top.label, self.source, self.number, self.seed, self.heat]
        address = [top.name, self.source, self.seed, top.label, self.heat]
        for event in (self.run.click, self.next.click):
            view = self._sample if event is self.run.click else self._next
            self.on([event], view, asked, [self.seed, *self.shown.parts]).success(
                None, address, None, js=_ADDRESS
            )
        self.on([self.tab.select], self._sample, asked, [self.seed, *self.shown.parts])

    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`."""
        if not opened.sources:
            why = f"{opened.name} has no prior over its codes, and no fitted sampler."
            return [*cannot(why), gr.skip(), gr.skip(), *Shown.empty()]
        model = opened.model
        return [
            *CAN,
            gr.update(choices=list(opened.sources), value=opened.sources[0]),
            gr.update(visible=bool(model.has_levels or model.is_autoregressive)),
            *Shown.empty(),
        ]

    def from_address(self, opened: Opened, wanted: dict[str, str]) -> list[Any]:
        """Class, settings and samples that an address asks for, if it does."""
        if not wanted or not opened.sources:
            return [gr.skip() for _ in (self.top.label, *self.linked)]
        label, source = wanted.get("label", ANY), wanted.get("source", "")
        if label not in map(str, range(opened.num_classes)):
            label = ANY
        if source not in opened.sources:
            source = opened.sources[0]
        digits = wanted.get("seed", "")
        seed = int(digits) if digits.isdecimal() and len(digits) <= 10 else 0
        heat = float(wanted["heat"]) if wanted.get("heat") in _HEATS else 1.0
        shown = self._sample(opened, label, source, NUMBER, seed, heat)
        return [label, source, heat, *shown]

    def _next(
        self,
        opened: Opened,
        label: str,
        source: str | None,
        number: float,
        seed: float | None,
        heat: float,
    ) -> list[Any]:
        return self._sample(opened, label, source, number, seed_of(seed) + 1, heat)

    def _sample(
        self,
        opened: Opened,
        label: str,
        source: str | None,
        number: float,
        seed: float | None,
        heat: float,
    ) -> list[Any]:
        model = opened.model
        knows_heat = model.has_levels or (model.is_autoregressive and heat > 0)
        answer = views.samples(
            opened,
            int(number),
            seed_of(seed),
            source or opened.sources[0],  # browsers send no choice where there is one
            label=label_of(label),
            temperature=heat if knows_heat else None,
        )
        return [seed_of(seed), *Shown.of(answer)]
