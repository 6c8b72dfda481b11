"""A slider for each unit of a code."""

import functools
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

# Sliders on the page; models with more units have more than one page of them.
SLIDERS = 16


class CodeTab(Tab):
    """A slider for each unit of a code."""

    title = "Code"

    def build(self) -> None:
        """Make the components."""
        self.z = gr.State()
        self.start = gr.State()
        self.indices = gr.State([])
        with gr.Row():
            with gr.Column(min_width=280):
                self.group = gr.Dropdown([], label="Units, what matters most first")
                self.sliders = [
                    gr.Slider(-3, 3, 0, label=f"z{i}", step=0.01, visible=False)
                    for i in range(SLIDERS)
                ]
                self.pinned = gr.Dropdown(
                    [], multiselect=True, label="Pinned: kept by the buttons below"
                )
                with gr.Row():
                    self.reset = gr.Button("Reset")
                    self.random = gr.Button("Random code")
                    self.example = gr.Button("Encode an example")
                self.seed = gr.Number(
                    0,
                    label="Seed of the random code, or of the example",
                    precision=0,
                    minimum=0,
                )
            with gr.Column(min_width=280):
                self.shown = Shown("What the code stands for")
        self.state = [self.z, self.start, self.indices]
        self.parts = [
            *self.state,
            self.group,
            self.pinned,
            *self.sliders,
            *self.shown.parts,
        ]

    def connect(self) -> None:
        """Connect them."""
        label, sliders = self.top.label, self.sliders
        # Each sends itself alone: the page copies what an event sends.
        for place, slider in enumerate(sliders):
            self.on(
                [slider.input],
                functools.partial(self._move, place),
                [self.z, self.indices, label, slider],
                [self.z, *self.shown.parts],
                **QUICK,
            )
        self.on([label.input], self._decode, [self.z, label], self.shown.parts)
        moved = [self.z, *sliders, *self.shown.parts]
        asked = [self.z, self.group, self.pinned, label]
        self.on([self.reset.click], self._set, [self.start, *asked], moved)
        self.on([self.random.click], self._random, [*asked, self.seed], moved)
        self.on(
            [self.example.click],
            self._example,
            [*asked, self.seed],
            [self.start, *moved],
        )
        self.on(
            [self.group.input],
            self._turn,
            [self.z, self.group],
            [self.indices, *sliders],
            show_progress="hidden",
        )

    def changed(self, opened: Opened) -> list[Any]:
        """What becomes of `parts`."""
        if not opened.units:
            hidden = [gr.update(visible=False) for _ in self.sliders]
            rest = [None, None, [], gr.skip(), gr.skip(), *hidden, *Shown.empty()]
            why = f"Codes of {opened.name} are no vectors, whose units could be moved."
            return [*cannot(why), *rest]
        z = views.code_of(opened, opened.examples(1, 0))
        titles = [unit.title for unit in opened.units]
        groups = _groups(opened)
        indices, sliders = self._page_of(opened, z, groups[0])
        return [
            *CAN,
            z,
            z,
            indices,
            gr.update(choices=groups, value=groups[0], visible=len(groups) > 1),
            gr.update(choices=titles, value=[]),
            *sliders,
            *Shown.of(views.decoded(opened, z)),
        ]

    def _page_of(
        self, opened: Opened, z: np.ndarray, group: str
    ) -> tuple[list[int], list[Any]]:
        begin = _groups(opened).index(group) * SLIDERS
        units = opened.units[begin : begin + SLIDERS]
        sliders = []
        for unit in units:
            value = float(z[0, unit.index])
            reach = max(unit.reach, abs(value - unit.mean))
            sliders.append(
                gr.update(
                    label=unit.title,
                    minimum=round(unit.mean - reach, 3),
                    maximum=round(unit.mean + reach, 3),
                    step=round(reach / 150, 6),
                    value=round(value, 3),
                    visible=True,
                )
            )
        hidden = [gr.update(visible=False)] * (SLIDERS - len(units))
        return [unit.index for unit in units], sliders + hidden

    def _turn(self, opened: Opened, z: np.ndarray, group: str) -> list[Any]:
        indices, sliders = self._page_of(opened, z, group)
        return [indices, *sliders]

    def _move(
        self,
        place: int,
        opened: Opened,
        z: np.ndarray,
        indices: list[int],
        label: str,
        value: float,
    ) -> list[Any]:
        z = np.array(z, "float32")
        z[0, indices[place : place + 1]] = value
        return [z, *self._decode(opened, z, label)]

    def _decode(self, opened: Opened, z: np.ndarray | None, label: str) -> list[Any]:
        if z is None or not opened.units:
            return Shown.empty()
        return Shown.of(views.decoded(opened, z, label_of(label)))

    def _random(
        self,
        opened: Opened,
        z: np.ndarray,
        group: str,
        pinned: list[str],
        label: str,
        seed: float | None,
    ) -> list[Any]:
        new = views.random_code(opened, seed_of(seed))
        return self._set(opened, new, z, group, pinned, label)

    def _example(
        self,
        opened: Opened,
        z: np.ndarray,
        group: str,
        pinned: list[str],
        label: str,
        seed: float | None,
    ) -> list[Any]:
        new = views.code_of(opened, opened.examples(1, seed_of(seed)), label_of(label))
        return [new, *self._set(opened, new, z, group, pinned, label)]

    def _set(
        self,
        opened: Opened,
        new: np.ndarray,
        z: np.ndarray,
        group: str,
        pinned: list[str],
        label: str,
    ) -> list[Any]:
        """Another code, but for the units that are pinned."""
        kept = [unit.index for unit in opened.units if unit.title in pinned]
        new = np.array(new, "float32")
        new[0, kept] = np.asarray(z)[0, kept]
        _, sliders = self._page_of(opened, new, group)
        return [new, *sliders, *self._decode(opened, new, label)]


def _groups(opened: Opened) -> list[str]:
    """Names of the pages of sliders."""
    total = len(opened.units)
    return [
        f"{i + 1} to {min(i + SLIDERS, total)} of {total}"
        for i in range(0, total, SLIDERS)
    ]
