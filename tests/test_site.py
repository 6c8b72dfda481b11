"""The documentation site: what is made for it, and the whole of it as it is built."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import aezoo
from aezoo import manifest
from aezoo.metrics import METRICS
from aezoo.registry import find_family
from tests.draws import exhaustive
from training import pages

ROOT = pages.ROOT
MADE = dict(pages.pages())
NEEDED = ("mkdocs", "material", "mkdocstrings", "griffe", "latex2mathml")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


def test_families_are_read_as_they_are_registered() -> None:
    names = [n for n in aezoo.list_families() if n in pages.families()]
    assert names == list(pages.families())
    assert len(names) > 35
    for name in names:
        found = find_family(name)
        read = pages.families()[name]
        assert found.objective.__module__ == f"aezoo.models.{read.module}"
        assert found.objective.__name__ == read.cls
        assert set(read.defaults) >= set(found.defaults), name


def test_each_objective_has_a_page_with_its_weights() -> None:
    for name, entry in manifest.entries().items():
        module = pages.families()[entry.family].module
        page = MADE[f"families/{module}.md"]
        assert f"### {name}\n" in page
        assert f"::: aezoo.models.{module}." in page
    page = MADE["families/vae.md"]
    assert "- Images: `conv`, `dense`, `resnet`, `vit`" in page
    assert "](../gallery/manifold.png)" in page


def test_pages_of_families_have_equations() -> None:
    assert "\\frac{1}{K}" in MADE["families/iwae.md"]
    equations = {path.stem for path in (ROOT / "docs" / "equations").glob("*.md")}
    assert len(equations) > 25
    assert equations <= set(pages.objectives())


def test_the_reference_has_every_public_name() -> None:
    text = "".join(text for place, text in MADE.items() if place.startswith("ref"))
    for name in set(aezoo.__all__) - {"__version__"}:
        assert f"::: aezoo.{name}\n" in text or f"# aezoo.{name}\n" in text, name
    assert "Conv, Custom, Dense" in MADE["reference/networks.md"]


def test_every_command_is_explained() -> None:
    from aezoo.cli import main

    page = MADE["reference/commands.md"]
    for name in main.all_commands():
        assert f"## aezoo {name}\n\n```text\nUsage: aezoo {name} " in page


def test_tables_have_every_model_and_metric() -> None:
    models = pages.every_model().splitlines()
    assert len(models) == 2 + len(manifest.entries())
    assert {line.count("|") for line in models} == {9}
    metrics = pages.every_metric()
    for name in METRICS:
        assert f"\n| `{name}`" in metrics
    rows = [line for line in metrics.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_links_of_documents_lead_to_pages_or_are_words() -> None:
    text = (
        "[a](docs/compositions.md) [b](training/recipes) [c](https://a.b) ![d](x.png)"
    )
    text = pages.relink(text, "CONTRIBUTING.md", "design/contributing.md")
    assert text.startswith("[a](../compositions.md) b [c](https://a.b)")
    filled = pages.filled("<!-- fill: every_model -->", "choose.md")
    assert "](families/vae.md#conv_vae_mnist)" in filled


@pytest.mark.skipif("latex2mathml" in MISSING, reason="needs aezoo[docs]")
def test_equations_become_mathml() -> None:
    page = '<p><span class="arithmatex">\\(a &lt; b\\)</span></p>'
    page += '<div class="arithmatex">\\[\nx^2\n\\]</div>'
    page = pages.with_mathml(page)
    assert "arithmatex" not in page
    assert page.count("<math") == 2
    assert page.count('display="block"') == 1
    assert "<msup>" in page


# --- The built site ------------------------------------------------------------------


class Addresses(HTMLParser):
    """What a page fetches, where it leads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        self.anchors |= {found[k] for k in ("id", "name") if found.get(k)}
        if found.get("src"):
            self.fetched.append(found["src"])
        if found.get("href") and tag == "link":
            if found.get("rel") not in ("canonical", "next", "prev", "alternate"):
                self.fetched.append(found["href"])
        elif found.get("href"):
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    if MISSING:
        pytest.skip(f"needs aezoo[docs]: no {', '.join(MISSING)}")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def html_pages(site: Path) -> Iterator[tuple[Path, Addresses]]:
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":  # its addresses start at the server's root
            yield path, Addresses(path.read_text(encoding="utf-8"))


@exhaustive
def test_nothing_is_fetched_from_other_hosts(site: Path) -> None:
    found = [
        (path, address) for path, page in html_pages(site) for address in page.fetched
    ]
    assert len(found) > 300
    assert [x for x in found if urlsplit(x[1]).netloc] == []
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text), style


@exhaustive
def test_no_link_is_broken(site: Path) -> None:
    built = dict(html_pages(site))
    assert len(built) > 70
    broken = []
    for path, page in built.items():
        for address in (*page.links, *page.fetched):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append((path.name, address))
            elif parts.fragment and target in built:
                anchors = built[target].anchors
                if unquote(parts.fragment) not in anchors | {"__skip"}:
                    broken.append((path.name, address))
    assert broken == []


@exhaustive
def test_equations_docstrings_and_pictures_are_on_the_pages(site: Path) -> None:
    learn = (site / "learn" / "vae.html").read_text(encoding="utf-8")
    assert "<math" in learn
    assert "arithmatex" not in learn
    reference = (site / "reference" / "index.html").read_text(encoding="utf-8")
    for name in aezoo._MODULE_OF:
        assert f'id="aezoo.{name}"' in reference, name
    family = (site / "families" / "iwae.html").read_text(encoding="utf-8")
    assert "Importance-weighted autoencoder of Burda et al." in family
    assert "Codes that are drawn for each example." in family
    parameter = r"num_samples</code>.*?<code>int</code>.*?<code>50</code>"
    assert re.search(parameter, re.sub(r"</?(?:span|a)\b[^>]*>", "", family), re.DOTALL)
