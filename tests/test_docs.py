"""The documents run: their examples, their commands, their links."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_server import HubServer

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *PAGES,
]
# What the site has beside the files of `docs`; `test_site.py` follows these links.
MADE = re.compile(r"^(\.\./)?(design|families|reference)/")
# Runs each page by itself, in a folder of its own, in one process.
RUNNER = """
import os, sys, tempfile, traceback
for path in sys.argv[1:]:
    os.chdir(tempfile.mkdtemp(dir=os.path.dirname(path)))
    try:
        exec(compile(open(path).read(), path, "exec"), {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        sys.exit(f"{path} does not run")
"""


def blocks(document: Path, language: str) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.timeout(900)
def test_the_python_of_the_pages_runs(tmp_path: Path) -> None:
    """Each from beginning to end, with a Hub on the loopback interface."""
    scripts = []
    for number, page in enumerate([ROOT / "README.md", *PAGES]):
        code = blocks(page, "python")
        if code:
            scripts.append(tmp_path / f"{number}_{page.stem}.py")
            scripts[-1].write_text("\n".join(code), encoding="utf-8")
    assert len(scripts) > 12
    imports = ROOT / "tests" / "fixtures" / "imports"
    with HubServer() as hub:
        for repo, folder, name in (
            ("pipeline", "vae/", "kl_sd"),
            ("vit-mae", "", "mae"),
        ):
            paths = (imports / name).iterdir()
            files = {f"{folder}{path.name}": path.read_bytes() for path in paths}
            hub.add_repo(f"organisation/{repo}", files)
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(tmp_path)}
        run = [sys.executable, "-c", RUNNER, *map(str, scripts)]
        subprocess.run(run, check=True, cwd=tmp_path, env=os.environ | env)


def test_the_aezoo_commands_of_the_pages_exist() -> None:
    from aezoo.cli import main

    pages = [ROOT / "README.md", *PAGES]
    found = [b for page in pages for k in ("console", "bash") for b in blocks(page, k)]
    commands = set(re.findall(r"(?:^|\n)(?:\$ )?aezoo (\w+)", "\n".join(found)))
    assert {"list", "demo", "sample", "nearest", "leaderboard"} <= commands
    assert commands <= set(main.all_commands())


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
)
def test_local_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|<img[^>]*src=\"([^\":]+)\"", text)
    for link in {a or b for a, b in links}:
        is_made = path in PAGES and MADE.match(link)
        assert is_made or (path.parent / link).exists(), link


def test_the_changelog_names_this_version() -> None:
    import aezoo

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{aezoo.__version__}]" in text
    assert "### Weights" in text


def test_every_model_is_in_the_changelog() -> None:
    from aezoo.manifest import entries

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in entries():
        assert f"`{name}`" in text
