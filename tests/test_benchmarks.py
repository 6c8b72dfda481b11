"""All benchmarks in one go: what is kept, what is said, and when they do not run."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks

PRINTED = """## Speed

| way | seconds |
| --- | --- |
| ours | 1 |

- ours / theirs: 0.9 (target >= 0.97): MISSED
- retraces: 0 (target <= 0): met
"""


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Runs print `PRINTED`, and write to this file."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        if "benchmarks.hub_speed" in command:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0, PRINTED)

    monkeypatch.setattr(benchmarks.subprocess, "run", run)
    path = tmp_path / "RESULTS.md"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--output", str(path)])
    return path


def load_of(monkeypatch: pytest.MonkeyPatch, load: float) -> None:
    monkeypatch.setattr(benchmarks, "PATIENCE", 0.0)
    monkeypatch.setattr(benchmarks.os, "getloadavg", lambda: (load, load, load))


def test_sections_are_replaced_and_targets_counted(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_of(monkeypatch, 0.0)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "writing_speed", "startup"])
    benchmarks.main()
    text = results.read_text("utf-8")
    assert "2 targets met, 2 missed" in text
    assert "- `startup`: ours / theirs: 0.9 (target >= 0.97): MISSED" in text
    assert text.index("## `startup`") < text.index("## `writing_speed`")
    assert "python -m benchmarks.startup --rounds 5" in text
    assert "keras 3" in text
    assert "other work" not in text
    assert list(benchmarks.read_sections(results)) == ["startup", "writing_speed"]
    benchmarks.main()
    assert results.read_text("utf-8") == text, "the same figures, the same file"


@pytest.mark.parametrize("name", list(benchmarks.BENCHMARKS))
def test_a_benchmark_takes_what_it_is_given(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ParsedError(Exception):
        pass

    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser) -> None:
        parse(parser)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [name, *benchmarks.BENCHMARKS[name]])
    with pytest.raises(ParsedError):
        importlib.import_module(f"benchmarks.{name}").main()


def test_a_busy_machine_is_refused_or_named(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_of(monkeypatch, 64.0)
    with pytest.raises(SystemExit):
        benchmarks.main()
    assert "the machine is busy: load average 64.0" in capsys.readouterr().err
    assert not results.exists()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--busy", "startup"])
    benchmarks.main()
    assert "**The machine had other work.**" in results.read_text("utf-8")


def test_what_fails_keeps_its_section_and_the_others_go_on(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_of(monkeypatch, 0.0)
    results.write_text("# Results\n\n## `hub_speed`\n\nas it was\n", "utf-8")
    with pytest.raises(SystemExit, match="Failed: hub_speed"):
        benchmarks.main()
    sections = benchmarks.read_sections(results)
    assert sections["hub_speed"] == "as it was"
    assert set(sections) == set(benchmarks.BENCHMARKS)


def test_every_benchmark_of_the_list_is_there() -> None:
    for name in benchmarks.BENCHMARKS:
        assert (benchmarks.ROOT / "benchmarks" / f"{name}.py").is_file(), name
