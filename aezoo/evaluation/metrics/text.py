"""Perplexity, words that are right, and how much samples of sentences vary."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from aezoo.evaluation.context import Chunk, Evaluation
from aezoo.evaluation.definition import Result, mean_with_error
from aezoo.evaluation.metrics.likelihood import iwae_nll
from aezoo.metrics.text import BLEU_ORDER, NO_MATCH

Words = Sequence[Any]


def perplexity(evaluation: Evaluation) -> Result:
    """Exp of the mean negative log-likelihood of a word, ends among them."""
    chunks = evaluation.chunks("importance sampling")
    nll = np.concatenate([iwae_nll(chunk) for chunk in chunks])
    return perplexity_of(nll, num_symbols(evaluation.examples))


def num_symbols(rows: np.ndarray) -> np.ndarray:
    """Symbols of sentences that have a probability: words, and an end if there is one.

    Args:
        rows: Indices of words, `(n, length)`.
    """
    return np.minimum(np.count_nonzero(rows, axis=1) + 1, rows.shape[1])


def perplexity_of(nll: np.ndarray, counts: np.ndarray) -> Result:
    """Perplexity of sentences.

    Args:
        nll: Nats per sentence, `(n,)`.
        counts: Symbols of each, `(n,)`.

    Returns:
        The figure, with the standard error of a ratio of means.
    """
    mean = float(nll.sum() / counts.sum())
    value, error = math.exp(mean), None
    if len(nll) > 1:
        deviation = np.std(nll - mean * counts, ddof=1) / np.mean(counts)
        error = value * float(deviation) / math.sqrt(len(nll))
    return Result(value, error)


def token_accuracy(chunk: Chunk) -> np.ndarray:
    """Share of the words of each sentence that are right where they stand, `(n,)`."""
    is_word = chunk.x != 0
    right = np.count_nonzero(is_word & (chunk.x == chunk.x_hat), axis=1)
    return right / np.count_nonzero(is_word, axis=1)


def distinct(evaluation: Evaluation, sampler: str, order: int) -> float:
    """Different n-grams over all n-grams of samples (Li et al., 2016)."""
    return distinct_of(_samples(evaluation, sampler), order)


def self_bleu(evaluation: Evaluation, sampler: str) -> Result:
    """BLEU of each sample against the others (Zhu et al., 2018)."""
    return mean_with_error(self_bleu_of(_samples(evaluation, sampler)))


def _samples(evaluation: Evaluation, sampler: str) -> list[list[int]]:
    def draw() -> list[list[int]]:
        rows = evaluation.modality.check(evaluation.sample(sampler))
        return [row[row != 0].tolist() for row in rows]

    return evaluation.cached(("sentences", sampler), draw)


def n_grams(words: Words, order: int) -> Counter[tuple[Any, ...]]:
    """How often each succession of `order` words occurs."""
    starts = range(len(words) - order + 1)
    return Counter(tuple(words[i : i + order]) for i in starts)


def distinct_of(sentences: Sequence[Words], order: int) -> float:
    """Different n-grams over all n-grams, in (0, 1]; 0 if there are none."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for words in sentences:
        counts.update(n_grams(words, order))
    return len(counts) / counts.total() if counts else 0.0


def self_bleu_of(sentences: Sequence[Words]) -> np.ndarray:
    """BLEU of each sentence with all others as its references, `(n,)`.

    Papineni et al. (2002, https://aclanthology.org/P02-1040): the geometric mean of
    the n-gram precisions, counts clipped to the most that one reference has, times
    the brevity penalty for the reference of the nearest length. Up to 4 words, or to
    the sentence's length; an order without a match counts as 0.1 matches.

    Args:
        sentences: At least two, each with a word at least.
    """
    lengths = Counter(map(len, sentences))
    of_order = {
        order: [n_grams(words, order) for words in sentences]
        for order in range(1, BLEU_ORDER + 1)
    }
    most = {order: _two_most(counts) for order, counts in of_order.items()}
    scores = []
    for i, words in enumerate(sentences):
        length = len(words)
        logs = []
        for order in range(1, min(BLEU_ORDER, length) + 1):
            own, matches = of_order[order][i], 0
            for gram, count in own.items():
                first, second = most[order][gram]
                # the most of the others: the second, if this one has the most
                matches += min(count, second if count == first else first)
            total = length - order + 1
            logs.append(math.log(max(matches, NO_MATCH) / total))
        others = lengths - Counter([length])
        nearest = min(others, key=lambda other: (abs(other - length), other))
        penalty = min(0.0, 1.0 - nearest / length)
        scores.append(math.exp(penalty + sum(logs) / len(logs)))
    return np.array(scores)


def _two_most(
    counts: Sequence[Counter[tuple[Any, ...]]],
) -> dict[tuple[Any, ...], tuple[int, int]]:
    """The two largest counts of each n-gram over sentences."""
    found: dict[tuple[Any, ...], tuple[int, int]] = {}
    for counter in counts:
        for gram, count in counter.items():
            first, second = found.get(gram, (0, 0))
            if count > first:
                found[gram] = (count, first)
            elif count > second:
                found[gram] = (first, count)
    return found
