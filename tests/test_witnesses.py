"""What no change of the code may change: `python -m tests.record_witnesses` wrote it.

That `import aezoo` loads neither Keras nor TensorFlow is in `test_public_api.py`; that
the weights still compute what they did, in `test_golden.py`.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import record_witnesses
from tests.record_witnesses import changes, observed, recorded


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    return observed()


def test_nothing_recorded_has_changed(now: dict[str, Any]) -> None:
    """Public names, the bytes of each file of weights, the words of each protocol."""
    assert list(changes(recorded(), now)) == []


def test_everything_that_is_there_is_recorded(now: dict[str, Any]) -> None:
    assert list(changes(now, recorded())) == [], "run python -m tests.record_witnesses"


def test_the_promised_witnesses_are_recorded() -> None:
    witnesses = recorded()
    weights = [file for file in witnesses["files"] if file.endswith(".weights.h5")]
    assert len(weights) >= 79, "77 models and 2 extractors"
    models = {
        subject: protocols
        for subject, protocols in witnesses["protocols"].items()
        if subject.startswith("model ")
    }
    distinct = {p for protocols in models.values() for p in protocols.values()}
    assert len(models) >= 77
    # less 28 total correlations, by 3 protocols, that the images could not tell
    assert len(distinct) >= 218 - 3
    assert sum(map(len, models.values())) >= 2148 - 28


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("files", "conv_vae_mnist.weights.h5"), "ab", "conv_vae_mnist.weights.h5: "),
        (
            ("protocols", "model conv_vae_mnist on mnist/test", "mse"),
            "ab",
            "test mse: ",
        ),
        (("public_names",), ["load"], "public_names create: recorded, now gone"),
        (("protocols", "extractor lenet_mnist_v1"), {}, "accuracy: recorded, now gone"),
    ],
)
def test_a_change_is_found_and_never_recorded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: tuple[str, ...],
    value: object,
    message: str,
) -> None:
    old, new = recorded(), recorded()
    place = new
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert message in "\n".join(changes(old, new))
    file = tmp_path / "witnesses.json"
    file.write_text(json.dumps(old))
    monkeypatch.setattr(record_witnesses, "WITNESSES", file)
    monkeypatch.setattr(record_witnesses, "observed", lambda: new)
    with pytest.raises(SystemExit, match=message):
        record_witnesses.record()
    assert json.loads(file.read_text()) == old


def test_recording_again_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: dict[str, Any]
) -> None:
    before = record_witnesses.WITNESSES.read_bytes()
    file = tmp_path / "witnesses.json"
    monkeypatch.setattr(record_witnesses, "WITNESSES", file)
    monkeypatch.setattr(record_witnesses, "observed", lambda: now)
    record_witnesses.record()
    assert file.read_bytes() == before
