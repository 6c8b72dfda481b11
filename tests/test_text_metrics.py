"""Metrics of sentences against closed forms."""

import math

import numpy as np
import pytest

import aezoo
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation.metrics import likelihood
from aezoo.evaluation.metrics import text as metrics
from aezoo.modalities import Text


def test_perplexity_of_equally_probable_words_is_their_number() -> None:
    rows = np.array([[2, 3, 0, 0], [2, 2, 2, 2], [5, 0, 0, 0]])
    counts = metrics.num_symbols(rows)
    assert counts.tolist() == [3, 4, 2]
    result = metrics.perplexity_of(counts * math.log(7.0), counts)
    assert result.value == pytest.approx(7.0)
    assert result.standard_error == pytest.approx(0.0, abs=1e-12)


def test_distinct_counts_different_successions_of_words() -> None:
    sentences = [["a", "b", "a"], ["a", "b"]]
    assert metrics.distinct_of(sentences, 1) == 2 / 5
    assert metrics.distinct_of(sentences, 2) == 2 / 3
    assert metrics.distinct_of(sentences, 4) == 0.0


def test_self_bleu_of_equal_sentences_is_one() -> None:
    equal = [["a", "b", "c", "d", "e"]] * 3
    np.testing.assert_allclose(metrics.self_bleu_of(equal), 1.0)


def test_self_bleu_by_hand() -> None:
    first, second = ["a", "b", "c"], ["a", "b", "d", "e"]
    # 2 of 3 words, 1 of 2 pairs, no triple; the other is one word longer
    expected = math.exp(1 - 4 / 3) * (2 / 3 * 1 / 2 * 0.1) ** (1 / 3)
    # 2 of 4 words, 1 of 3 pairs, no triple of 2, no quadruple
    other = (2 / 4 * 1 / 3 * 0.1 / 2 * 0.1) ** (1 / 4)
    np.testing.assert_allclose(metrics.self_bleu_of([first, second]), [expected, other])


def test_self_bleu_clips_to_the_most_that_one_other_has() -> None:
    sentences = [["a", "a", "a"], ["a", "b", "c"], ["a", "a", "d"]]
    # two of three words "a" at most, as in the third; one of two pairs; no triple
    np.testing.assert_allclose(
        metrics.self_bleu_of(sentences)[0], (2 / 3 * 1 / 2 * 0.1) ** (1 / 3)
    )


def test_one_importance_sampling_serves_both_bounds(monkeypatch) -> None:
    model = aezoo.create("sentence_vae", modality=Text(4, words="a b"), units=4)
    sampled, found = likelihood._log_marginal, []
    monkeypatch.setattr(
        *(likelihood, "_log_marginal"), lambda chunk: found.append(1) or sampled(chunk)
    )
    names = ["iwae_nll", "perplexity"]
    aezoo.evaluate(model, ["a", "a b"], metrics=names, importance_samples=3)
    assert found == [1]


def test_a_model_has_them(tmp_path) -> None:
    modality = Text(4, words="a b c .")
    model = aezoo.create(
        "sentence_vae", modality=modality, latent_dim=2, embedding_dim=4, units=4
    )
    names = [
        "perplexity",
        "token_accuracy",
        "distinct_1",
        "distinct_2",
        "self_bleu",
        "iwae_nll",
    ]
    x = ["a b .", "c", "a a b ."]
    path = tmp_path / "three.txt"
    path.write_text("\n".join(x))
    report = aezoo.evaluate(model, path, metrics=names, importance_samples=5)
    values = {name: metric.value for name, metric in report.metrics.items()}
    assert set(values) == set(names)
    of_list = aezoo.evaluate(model, x, metrics=names, importance_samples=5).metrics
    assert {name: figure.value for name, figure in of_list.items()} == values
    counts = metrics.num_symbols(modality.check(x)).mean()
    assert values["perplexity"] == pytest.approx(
        math.exp(values["iwae_nll"] / counts), rel=1e-6
    )
    assert 0.0 <= values["token_accuracy"] <= 1.0
    assert "sentences" in report.metrics["distinct_1"].protocol
    with pytest.raises(UnsupportedOperationError):
        aezoo.evaluate(model, path, metrics=["psnr"])
