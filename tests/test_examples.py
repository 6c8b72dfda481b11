"""The notebooks run from top to bottom, and show what they promise."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")

EXAMPLES = Path(__file__).parent.parent / "examples"
# What each test run makes smaller.
SMALL = {
    "BUDGETS = (1, 3, 10)": "BUDGETS = (10,)",
    "SEEDS = 3": "SEEDS = 1",
    "STEPS = 100": "STEPS = 30",
    "TEST = 2_000": "TEST = 300",
}


def executed(
    name: str, small_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, int]:
    """What a notebook prints at small settings, and how many pictures it shows."""
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    source = "\n".join(cell.source for cell in notebook.cells)
    for large, small in small_settings.items():
        assert large in source
        for cell in notebook.cells:
            cell.source = cell.source.replace(large, small)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the notebook's own shows figures
    nbclient.NotebookClient(notebook, timeout=250, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    text = "".join(output.get("text", "") for output in outputs)
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.timeout(300)
def test_the_transfer_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    text, pictures = executed("transfer", SMALL, monkeypatch)
    accuracies = {
        line.rpartition("  ")[0].split("  ")[0].strip(): float(line.split()[-2])
        for line in text.splitlines()
        if line.endswith("%")
    }
    assert set(accuracies) == {
        *("pixels", "frozen features", "fine-tuned", "random weights"),
    }
    assert accuracies["frozen features"] > 60  # of ten digits, from 100 labels
    assert pictures


@pytest.mark.timeout(300)
def test_the_quickstart_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    text, pictures = executed("quickstart", {"NUMBER = 64": "NUMBER = 4"}, monkeypatch)
    assert "conv_vae_mnist_z16" in text
    assert "squared error 0.0" in text
    assert pictures == 5  # pairs, a unit, a path, two samplers


@pytest.mark.timeout(300)
def test_the_notebook_of_ones_own_images_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"EPOCHS = 20": "EPOCHS = 2", "IMAGES = 2_000": "IMAGES = 200"}
    text, _ = executed("train_your_own", small, monkeypatch)
    assert "(180, 28, 28, 1) (20, 28, 28, 1)" in text
    assert "the same codes: True" in text
    assert "aezoo.json" in text


@pytest.mark.timeout(300)
def test_the_notebook_of_figures_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AEZOO_REPOSITORY", raising=False)
    text, _ = executed(
        "measure_and_publish", {"LIMIT = 2_000": "LIMIT = 64"}, monkeypatch
    )
    assert "elbo" in text
    assert "nats per image" in text
    assert "Set AEZOO_REPOSITORY" in text


def test_notebooks_carry_no_outputs() -> None:
    """Pictures of single data items stay out of the repository."""
    paths = sorted(EXAMPLES.glob("*.ipynb"))
    assert paths
    for path in paths:
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path
