"""The documents run: README's example, its commands, its links."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_server import HubServer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "benchmarks/RESULTS.md",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    """From beginning to end, with a Hub on the loopback interface."""
    code = blocks("python")
    assert code
    script = tmp_path / "readme.py"
    script.write_text("\n".join(code), encoding="utf-8")
    vae = ROOT / "tests" / "fixtures" / "imports" / "kl_sd"
    with HubServer() as hub:
        files = {f"vae/{path.name}": path.read_bytes() for path in vae.iterdir()}
        hub.add_repo("organisation/pipeline", files)
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(tmp_path)}
        run = [sys.executable, str(script)]
        subprocess.run(run, check=True, cwd=tmp_path, env=os.environ | env)


def test_the_readmes_aezoo_commands_exist() -> None:
    from aezoo.cli import main

    text = "\n".join(blocks("console") + blocks("bash"))
    commands = set(re.findall(r"(?:^|\n)(?:\$ )?aezoo (\w+)", text))
    assert {"list", "demo", "sample"} <= commands
    assert commands <= set(main.commands)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_local_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|<img[^>]*src=\"([^\":]+)\"", text)
    for link in {a or b for a, b in links}:
        assert (path.parent / link).exists(), link


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
