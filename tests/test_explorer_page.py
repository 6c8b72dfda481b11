"""The page of the explorer, used in a real browser, and served to strangers."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import aezoo
from tests.draws import exhaustive
from tests.test_explorer import tiny_shapes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(missing, reason=f"{what} is missing")
    for what, missing in (
        ("Gradio, of aezoo[explore],", find_spec("gradio") is None),
        ("Playwright", find_spec("playwright") is None),
        ("Chromium", CHROMIUM is None),
    )
]
# On a busy machine; a quiet one needs a tenth.
WAIT = 60_000
TABS = ("Code", "Plane", "Example", "Path", "Samples", "Compare")


IMPORTED = Path(__file__).parent / "fixtures" / "imports" / "kl_flux"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the command, as people start it."""
    with serving("dense_vae_mnist_z2", tmp_path_factory.mktemp("served")) as address:
        yield address


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[str]:
    """The address of the command for a model, run in a folder."""
    command = [sys.executable, "-m", "aezoo", "explore", name]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(aezoo.__file__).parent.parent)},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"Open (http://127\.0\.0\.1:\d+/)", line):
                break
        else:
            pytest.fail("The page was not served.")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            yield found[1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield started
        started.close()


@contextlib.contextmanager
def opened(browser: Any, address: str, width: int = 1440) -> Iterator[Any]:
    """A page that has shown its model; it may neither complain nor ask elsewhere."""
    context = browser.new_context(viewport={"width": width, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else 0)
    page.on("request", lambda r: complaints.extend(_elsewhere(r.url)))
    page.goto(address)
    page.get_by_text("codes of").first.wait_for()
    yield page
    assert complaints == []
    context.close()


def _elsewhere(url: str) -> list[str]:
    return [] if re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url) else [url]


def picture(page: Any, label: str) -> str:
    """Where the picture of that label is, once there is one."""
    image = page.get_by_role("tabpanel").locator(f'img[alt="{label}"]:visible')
    image.first.wait_for()
    source: str = image.first.get_attribute("src")
    return source


def changed(page: Any, label: str, before: str) -> str:
    """The picture of that label, once it is another."""
    for _ in range(WAIT // 100):
        now = picture(page, label)
        if now != before:
            return now
        page.wait_for_timeout(100)
    pytest.fail(f"{label!r} stayed as it was.")


@pytest.mark.parametrize("width", [390, 1440])
def test_every_tab_is_used_and_fits(browser: Any, served: str, width: int) -> None:
    with opened(browser, served, width) as page:
        before = picture(page, "What the code stands for")
        slider = page.get_by_role("slider").first
        slider.focus()
        page.keyboard.press("End")  # with the keyboard alone
        moved = changed(page, "What the code stands for", before)
        page.get_by_role("button", name="Reset", exact=True).click()
        assert changed(page, "What the code stands for", moved) == before
        lines = page.locator(".cm-content:visible").first.inner_text()
        assert 'model = aezoo.load("dense_vae_mnist_z2")' in lines
        for tab in TABS[1:]:
            there = page.get_by_role("tab", name=tab, exact=True)
            if not there.first.is_visible():  # behind the button for what has no room
                page.get_by_role("button", name="More tabs").click()
                there = page.locator(".overflow-dropdown button", has_text=tab)
            there.first.click()
            used(page, tab)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{tab} is {wide} wide"


@exhaustive
def test_a_model_of_diffusers(browser: Any, tmp_path: Path) -> None:
    with serving(str(IMPORTED), tmp_path) as address, opened(browser, address) as page:
        page.get_by_role("tab", name="Example", exact=True).click()
        used(page, "Example")
        page.get_by_role("tab", name="Path", exact=True).click()
        used(page, "Path")


def test_music_is_seen_and_heard(browser: Any, served: str) -> None:
    with opened(browser, f"{served}?model=music_vae_jsb&seed=1") as page:
        page.get_by_role("tab", name="Samples", exact=True).click()
        picture(page, "Samples")
        player = page.get_by_role("tabpanel").locator("visible=true")
        player.get_by_label("Play").first.wait_for()
        player.get_by_text("3:33").first.wait_for()  # 24 pieces of two bars, read


def test_shapes_are_turned(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("trimesh", reason="needs aezoo[shapes]")
    name = str(tiny_shapes(tmp_path / "shapes"))
    with serving(name, tmp_path) as address, opened(browser, address) as page:
        page.get_by_role("tab", name="Example", exact=True).click()
        picture(page, "Example and reconstruction")
        page.get_by_role("tabpanel").locator("canvas:visible").first.wait_for()
        box = page.locator("canvas:visible").first.bounding_box()
        before = page.locator("canvas:visible").first.screenshot()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20, steps=4)
        page.mouse.up()
        page.wait_for_timeout(500)
        assert page.locator("canvas:visible").first.screenshot() != before


def used(page: Any, tab: str) -> None:
    """Do on a tab what it is there for, and wait for what it shows."""
    if tab == "Plane":
        plane = page.locator('img[alt="The plane; drag through it"]:visible').first
        plane.wait_for()
        plane.click(position={"x": 20, "y": 60})
        first = picture(page, "Where you are")
        page.mouse.down()
        box = plane.bounding_box()
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 150, steps=5)
        page.mouse.up()
        changed(page, "Where you are", first)
        right = page.get_by_role("slider", name="Position to the right")
        assert 0.6 < float(right.input_value()) < 0.8
    elif tab == "Example":
        first = picture(page, "Example and reconstruction")
        page.get_by_label("The example: seed").fill("4")
        page.get_by_role("button", name="Reconstruct", exact=True).click()
        changed(page, "Example and reconstruction", first)
    elif tab == "Path":
        page.get_by_role("button", name="Find the path").click()
        first = picture(page, "At that position")
        page.get_by_role("slider", name="Position on the path").focus()
        page.keyboard.press("End")
        changed(page, "At that position", first)
    elif tab == "Samples":
        first = picture(page, "Samples")
        page.get_by_role("button", name="Next seed").click()
        changed(page, "Samples", first)
        page.wait_for_url(re.compile("seed=1"))
    elif tab == "Compare":
        page.get_by_role("button", name="Compare").click()
        picture(page, "Reconstructions")


def test_a_slider_asks_for_little(served: str) -> None:
    """The page copies what a move sends, and goes through all that shows progress."""
    with urllib.request.urlopen(f"{served}config") as answer:
        events = json.load(answer)["dependencies"]
    moves = [event for event in events if not event["queue"] and event["outputs"]]
    assert len(moves) >= 18  # sliders of units, drags through the plane, positions
    assert max(len(event["inputs"]) for event in moves) <= 8
    many = [event for event in events if len(event["outputs"]) > 6]
    assert [len(event["show_progress_on"] or []) for event in many] == [1] * len(many)


def test_a_picture_is_downloaded(browser: Any, served: str, tmp_path: Path) -> None:
    with opened(browser, served) as page:
        shown = picture(page, "What the code stands for")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").locator(
                "visible=true"
            ).first.click()
        target = tmp_path / "picture.png"
        download.value.save_as(target)
    assert target.read_bytes() == _bytes(shown)
    with Image.open(target) as image:
        assert image.size[0] >= 28


def test_a_link_shows_the_same_samples(browser: Any, served: str) -> None:
    from playwright.sync_api import expect

    asked = "?model=conv_vae_mnist_z16&source=gmm&seed=5&label=any&heat=1"
    shown = []
    for _ in range(2):
        with opened(browser, served + asked) as page:
            page.get_by_role("tab", name="Samples", exact=True).click()
            page.get_by_label("Samples: seed").wait_for()
            expect(page.get_by_label("Samples: seed")).to_have_value("5", timeout=WAIT)
            shown.append(_bytes(picture(page, "Samples")))
    assert shown[0] == shown[1]


def test_an_upload_is_read_refused_and_gone(
    browser: Any, served: str, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("L", (40, 60), 128).save(good)
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    with opened(browser, served) as page:
        page.get_by_role("tab", name="Example", exact=True).click()
        first = picture(page, "Example and reconstruction")
        page.get_by_label("A file", exact=True).first.check()
        upload(page, good)
        page.get_by_label("good.png", exact=True).wait_for()
        page.get_by_role("button", name="Reconstruct", exact=True).click()
        changed(page, "Example and reconstruction", first)
        page.get_by_text("resized").first.wait_for()
        page.get_by_role("button", name="Reconstruct", exact=True).click()  # once more
        page.wait_for_timeout(2000)
        assert not page.get_by_text("Choose a file").count()
        page.get_by_role("button", name=re.compile("Clear|Remove")).first.click()
        upload(page, bad)
        page.get_by_label("bad.png", exact=True).wait_for()
        page.get_by_role("button", name="Reconstruct", exact=True).click()
        page.get_by_text("The image bad.png is truncated").first.wait_for()
    folders = Path(tempfile.gettempdir()).glob("aezoo-explorer-*")
    left = [file.name for folder in folders for file in folder.rglob("*.png")]
    assert left
    assert not {"good.png", "bad.png"} & set(left)


def upload(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator('button[aria-label*="upload" i]:visible').first.click()
    chooser.value.set_files(file)


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=pyproject.toml",
    ],
)
def test_nothing_of_the_file_system_is_reachable(served: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _bytes(served + path)
    caught.value.close()
    assert caught.value.code in {403, 404}


def test_ten_users_and_one_who_leaves(browser: Any, served: str) -> None:
    """Everybody gets samples, also after a tab was closed in the middle of samples."""
    with opened(browser, served) as page:
        page.get_by_role("tab", name="Samples", exact=True).click()
        page.get_by_role("button", name="Next seed").click()
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(opened(browser, served)) for _ in range(10)]
        for page in pages:
            page.get_by_role("tab", name="Samples", exact=True).click()
        before = [picture(page, "Samples") for page in pages]
        for page in pages:
            page.get_by_role("button", name="Next seed").click()
        drawn = [
            _bytes(changed(page, "Samples", source))
            for page, source in zip(pages, before, strict=True)
        ]
    assert len(set(drawn)) == 1  # of the same seed


def _bytes(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        content: bytes = response.read()
    return content
