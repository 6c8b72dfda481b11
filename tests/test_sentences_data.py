"""The dataset of sentences, and batches of examples of similar size."""

import numpy as np
import pytest
from click.testing import CliRunner

from aezoo.data.datasets import DatasetError, load_dataset, open_dataset
from aezoo.training.batches import ShuffledExamples
from training.data.tatoeba import build, main, split_of

SENTENCES = [f"This is sentence number {i}." for i in range(200)]


def test_the_same_sentences_give_the_same_splits_whatever_their_source(
    tmp_path,
) -> None:
    (tmp_path / "pairs.txt").write_text(
        "".join(f"{s}\tfrench\tCC-BY\n" for s in SENTENCES[:120]), encoding="utf-8"
    )
    (tmp_path / "rest.txt").write_text("\n".join(SENTENCES[::-1]), encoding="utf-8")
    counts = build([tmp_path / "pairs.txt", tmp_path / "rest.txt"], tmp_path / "a")
    assert sum(counts.values()) == 200
    result = CliRunner().invoke(
        main, [str(tmp_path), "--from", str(tmp_path / "rest.txt")]
    )
    assert result.exit_code == 0, result.output
    for split, count in counts.items():
        text = (tmp_path / "a" / f"{split}.txt").read_text()
        assert text == (tmp_path / "tatoeba" / f"{split}.txt").read_text()
        assert len(text.splitlines()) == count
        assert {split_of(s) for s in text.splitlines()} == {split}
    train = load_dataset("tatoeba", "train", tmp_path)
    assert train.version == "txt"
    assert len(train.examples) == counts["train"]


def test_case_and_marks_do_not_move_a_sentence() -> None:
    assert split_of("I see, Tom!") == split_of("i see tom")
    assert {split_of(s) for s in SENTENCES} == {"train", "valid", "test"}


def test_long_sentences_are_left_out(tmp_path) -> None:
    (tmp_path / "in.txt").write_text(f"{'a ' * 21}\nshort\n\n", encoding="utf-8")
    assert sum(build([tmp_path / "in.txt"], tmp_path / "out").values()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"good\n\xff\n", "line 2` holds bytes"), (b"\n \n", "holds no lines of text")],
)
def test_a_damaged_file_of_lines_says_why(tmp_path, content, message) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_dataset(path)
    with pytest.raises(DatasetError, match="does not exist"):
        open_dataset(tmp_path / "none.txt")


def test_batches_hold_examples_of_similar_size_each_once() -> None:
    sizes = np.random.default_rng(0).integers(1, 20, 1003)
    rows = np.arange(1003)[:, None]
    batches = ShuffledExamples(rows, 10, seed=0, sizes=sizes)
    order = np.concatenate([batches[i][0][:, 0] for i in range(len(batches))])
    assert sorted(order.tolist()) == list(range(1003))
    assert len(batches[100][0]) == 3
    spread = np.mean([np.ptp(sizes[batches[i][0][:, 0]]) for i in range(100)])
    plain = ShuffledExamples(rows, 10, seed=0)
    assert spread < 0.2 * np.mean(
        [np.ptp(sizes[plain[i][0][:, 0]]) for i in range(100)]
    )
    first = batches[0][0].copy()
    batches.epoch = 1
    assert np.any(batches[0][0] != first)
    batches.epoch = 0
    np.testing.assert_array_equal(batches[0][0], first)
