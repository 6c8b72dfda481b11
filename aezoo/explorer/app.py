"""The page: what `views` computes, in tabs, by Gradio.

A tab is a class that makes its components, says what of them changes with the model,
and connects them. Requests hold their own state; models are shared, one thread at a
time. Nothing of the file system can be asked for, and uploads are removed.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from aezoo.explorer.components import ANY, PRIVATE, Tab, Top, gr, progress_on
from aezoo.explorer.shelf import Opened, Shelf
from aezoo.explorer.tabs.code import CodeTab
from aezoo.explorer.tabs.compare import CompareTab
from aezoo.explorer.tabs.example import ExampleTab
from aezoo.explorer.tabs.path import PathTab
from aezoo.explorer.tabs.plane import DRAG, PlaneTab
from aezoo.explorer.tabs.samples import SampleTab
from aezoo.explorer.tabs.steps import StepsTab

MAX_UPLOAD = "5mb"
# Seconds after which files that were sent are removed, and how often that is looked at.
KEPT, SWEPT = 600, 300
_CSS = """
.picture img { image-rendering: pixelated; }
.plane img { cursor: crosshair; touch-action: none; }
footer { display: none !important; }
"""


class Page:
    """The whole page, for the models of a shelf.

    Args:
        shelf: The models.
        first: The one that is shown first.
    """

    def __init__(self, shelf: Shelf, first: str) -> None:
        with gr.Blocks(
            title="aezoo explorer", analytics_enabled=False, delete_cache=(SWEPT, KEPT)
        ) as self.blocks:
            gr.Markdown("# aezoo explorer\nMove through what a model has learnt.")
            self.top = top = Top(shelf, first)
            with gr.Tabs():
                self.tabs: list[Tab] = [CodeTab(top), PlaneTab(top), ExampleTab(top)]
                self.tabs += [PathTab(top), SampleTab(top), StepsTab(top)]
                self.tabs += [CompareTab(top)]
            for tab in self.tabs:
                tab.connect()
            outputs = [top.label, top.about, *self._parts]
            wanted = gr.State({})
            quiet = {**PRIVATE, "show_progress_on": progress_on([top.about])}
            top.name.input(self._open, [top.name], outputs, **quiet)
            # at once: who opens the samples in between would have those of seed 0
            linked = [*outputs, self.samples.seed]
            self.blocks.load(self._address, None, [top.name, wanted], **quiet).then(
                self._linked, [top.name, wanted], linked, **quiet
            )

    @property
    def samples(self) -> SampleTab:
        """The tab whose settings stand in the address."""
        (found,) = (tab for tab in self.tabs if isinstance(tab, SampleTab))
        return found

    @property
    def _parts(self) -> list[Any]:
        return [part for tab in self.tabs for part in tab.parts]

    def _open(self, name: str) -> list[Any]:
        return self.top.answering(self._describe)(name)

    def _describe(self, opened: Opened) -> list[Any]:
        classes = [ANY, *map(str, range(opened.num_classes))]
        model = opened.model
        shape = " x ".join(map(str, model.latent_shape))
        about = (
            f"**{opened.name}**: {model.family}, {model.modality.nouns}, codes of "
            f"{shape}; trained on {opened.dataset or 'what nobody says'}."
        )
        changed = [
            gr.update(choices=classes, value=ANY, visible=len(classes) > 1),
            about,
        ]
        for tab in self.tabs:
            changed += tab.changed(opened)
        return changed

    def _address(self, request: gr.Request) -> list[Any]:
        """What the address asks for: a model, and all the rest as text."""
        wanted = dict(request.query_params)
        name = wanted.pop("model", None)
        if name not in self.top.shelf.names:
            return [gr.skip(), {}]
        return [gr.update(value=name), wanted]

    def _linked(self, name: str, wanted: dict[str, str]) -> list[Any]:
        """A model, with class and settings of samples as a link has them."""
        return self.top.answering(self._describe_linked)(name, wanted)

    def _describe_linked(self, opened: Opened, wanted: dict[str, str]) -> list[Any]:
        outputs = [self.top.label, self.top.about, *self._parts, self.samples.seed]
        changed = dict(zip(outputs, [*self._describe(opened), gr.skip()], strict=True))
        linked = [self.top.label, *self.samples.linked]
        asked = self.samples.from_address(opened, wanted)
        for part, value in zip(linked, asked, strict=True):
            changed[part] = {**_as_update(changed[part]), **_as_update(value)}
        return list(changed.values())


def _as_update(value: Any) -> dict[str, Any]:
    """What a handler answers for a component, as an update of its properties."""
    is_update = isinstance(value, dict) and "__type__" in value
    update: dict[str, Any] = value if is_update else gr.update(value=value)
    return update


# --- Running ------------------------------------------------------------------------


def run(
    names: Sequence[str],
    first: str,
    *,
    engine: str = "keras",
    port: int | None = None,
    share: bool = False,
    report: Callable[[str], Any] = print,
) -> None:
    """Serve the page on the loopback address, until it is interrupted.

    Args:
        names: The models that it shows.
        first: The one that it begins with.
        engine: As in `aezoo.load`.
        port: Where; None takes the first free one from 7860 on.
        share: Also through a public address of Gradio's, which sends data through
            their servers.
        report: Is told the addresses.

    Raises:
        OSError: If the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="aezoo-explorer-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # goes with the page
        page = Page(Shelf(names, engine), first)
        launch(page, server_port=port, share=share, prevent_thread_lock=True)
        report(f"Open {page.blocks.local_url}")
        if share:
            report(f"Anybody may open {page.blocks.share_url}")
        page.blocks.block_thread()


def launch(page: Page, **options: Any) -> None:
    """Start Gradio's server as a page for strangers needs it.

    Args:
        page: The page.
        **options: Of `gradio.Blocks.launch`.
    """
    page.blocks.queue(default_concurrency_limit=2, max_size=64, api_open=False)
    page.blocks.launch(
        **{"server_name": "127.0.0.1", "quiet": True, **options},
        max_file_size=MAX_UPLOAD,
        allowed_paths=[],
        footer_links=[],
        css=_CSS,
        js=DRAG,
        ssr_mode=False,
    )
