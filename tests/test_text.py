"""Sentences: what is taken and refused, and distributions written word by word."""

import itertools
import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo.cli import main
from aezoo.errors import UnsupportedOperationError
from aezoo.modalities import Text
from aezoo.modalities.text import split_words
from aezoo.networks import NetworkError
from aezoo.nn.backend import BACKEND
from aezoo.nn.distributions.autoregressive import Autoregressive
from tests.draws import chosen

WORDS = "i you see hear a the cat dog ."
SENTENCES = [
    f"{who} {does} {the} {what} ."
    for who, does, the, what in itertools.product(
        ("i", "you"), ("see", "hear"), ("a", "the"), ("cat", "dog")
    )
]
TEXT = Text(length=6, words=WORDS)


@pytest.fixture(scope="module")
def trained():
    """A model that has learnt sixteen sentences of one form."""
    keras.utils.set_random_seed(0)
    model = aezoo.create(
        "sentence_vae",
        modality=TEXT,
        latent_dim=4,
        embedding_dim=16,
        units=32,
        beta=0.03,
        word_dropout=0.3,
    )
    model.compile(aezoo.optimizers.Adam(0.01), steps_per_execution=8)
    model.fit(SENTENCES * 50, epochs=20, batch_size=50, verbose=0)
    return model


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return aezoo.save(trained, tmp_path_factory.mktemp("text") / "model")


@pytest.fixture(scope="module")
def tiny():
    """A model of at most three symbols out of `<unk>`, a and b: 39 sentences."""
    model = aezoo.create(
        "sentence_vae",
        modality=Text(3, words="a b"),
        latent_dim=2,
        embedding_dim=4,
        units=5,
    )
    generator = np.random.default_rng(3)
    for weight in model.decoder.weights:
        weight.assign(generator.normal(size=weight.shape))
    return model


def every_row() -> np.ndarray:
    """All rows of length 3 of four symbols that are sentences."""
    rows = np.array(list(itertools.product(range(4), repeat=3)))
    goes_on = (rows[:, :-1] == 0) & (rows[:, 1:] != 0)
    return rows[(rows[:, 0] != 0) & ~goes_on.any(axis=1)]


# --- What a sentence is ---------------------------------------------------------------


def test_words_and_marks_are_split_in_lower_case() -> None:
    assert split_words("Tom's  late,\tisn\u2019t he?") == [
        *("tom's", "late", ",", "isn't", "he", "?")
    ]


def test_sentences_are_rows_of_indices_and_come_back() -> None:
    rows = TEXT.check(["I see a cat.", "you"])
    assert rows.dtype == "int32"
    assert rows.tolist()[1] == [3, 0, 0, 0, 0, 0]
    assert TEXT.present(rows) == ["i see a cat .", "you"]
    assert TEXT.present(rows[0]) == "i see a cat ."
    np.testing.assert_array_equal(TEXT.check(TEXT.present(rows)), rows)
    np.testing.assert_array_equal(TEXT.check(rows), rows)
    np.testing.assert_array_equal(TEXT.check([b"i see a cat .", b"you"]), rows)


def test_words_outside_are_unk_and_counted() -> None:
    sentences = ["I see a wombat .", "wombat !"]
    assert TEXT.present(TEXT.check(sentences)) == ["i see a <unk> .", "<unk> <unk>"]
    assert TEXT.unknown_words(sentences) == {"wombat": 2, "!": 1}
    assert TEXT.unknown_words(["<unk> cat"]) == {}


def test_adapt_keeps_the_words_that_occur_often_enough() -> None:
    text = Text(5, min_count=2).adapt(["b a", "a c", "A b <unk> <unk>"])
    assert text.vocabulary == ("", "<unk>", "a", "b")
    assert text.adapt(["z z"]) is text


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("i see", r"`x` must be a list of sentences. Received: one str"),
        ([], "is empty"),
        (["i", "  "], r"`x\[1\]` is empty"),
        (["i " * 7], r"too long: at most 6 words and marks. Received: 7"),
        ([b"i see \xff"], r"no UTF-8: invalid start byte at byte 6"),
        (["i", 3.0], r"`x\[1\]` must be a str. Received: float"),
        (["i", None], "must be a str. Received: NoneType"),
        ([["i", "you"], ["a"]], "must be sentences|must be a str"),
        (np.zeros((2, 6)), "must be sentences, a list of str; or indices"),
        (np.ones((2, 5), "int32"), r"integers \(n, 6\)"),
        (np.full((1, 6), 11), "0 to 10. Received: 11 to 11"),
        (np.zeros((1, 6), "int32"), "begin with a word"),
        ([[2, 0, 3, 0, 0, 0]], "hold 0 from their end on"),
        (np.array([["i"]]), "flat list of sentences"),
    ],
)
def test_what_is_no_sentence_is_refused(x, message) -> None:
    with pytest.raises(ValueError, match=message):
        TEXT.check(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"words": "a b a"}, "holds 'a' twice"),
        ({"words": "A b"}, "must be in lower case"),
        ({"words": "a,b"}, "each a word or a mark"),
        ({"words": ["a"]}, "must be one str"),
        ({"length": 0}, "`length` must be"),
    ],
)
def test_what_is_no_vocabulary_is_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        Text(**arguments)


# --- A distribution over sentences ----------------------------------------------------


def test_probabilities_of_all_sentences_sum_to_one(tiny) -> None:
    rows = every_row()
    assert len(rows) == 3 + 3 * 3 + 3 * 3 * 3
    z = np.repeat(np.array([[0.3, -1.0]], "float32"), len(rows), axis=0)
    likelihood = tiny.likelihood_of(z)
    assert isinstance(likelihood, Autoregressive)
    log_p = np.asarray(likelihood.log_prob(rows), "float64")
    np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, atol=1e-5)


def test_steps_give_the_probabilities_of_teacher_forcing(tiny) -> None:
    rows, z = every_row(), np.array([[0.3, -1.0]], "float32")
    likelihood = tiny.likelihood_of(np.repeat(z, len(rows), axis=0))
    expected = np.asarray(likelihood.log_prob(rows))
    state = tiny.decoder.start(likelihood.parameters)
    total, last = np.zeros(len(rows)), np.zeros(len(rows), "int32")
    is_over = np.zeros(len(rows), bool)
    for t in range(3):
        logits, state = tiny.decoder.step(keras.ops.convert_to_tensor(last), t, state)
        log_p = np.asarray(keras.ops.log_softmax(logits))[range(len(rows)), rows[:, t]]
        total += np.where(is_over, 0.0, log_p)
        last = rows[:, t].astype("int32")
        is_over |= last == 0
    np.testing.assert_allclose(total, expected, atol=1e-5)


def test_beams_find_the_most_probable_sentence(tiny) -> None:
    rows = every_row()
    z = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    log_p = np.array(
        [tiny.likelihood_of(np.tile(c, (len(rows), 1))).log_prob(rows) for c in z]
    )
    best = rows[log_p.argmax(axis=1)]
    found = tiny.modality.check(tiny.decode(z, beams=27))
    np.testing.assert_array_equal(found, best)
    greedy = tiny.modality.check(tiny.decode(z))
    at = {tuple(row): i for i, row in enumerate(rows.tolist())}
    of_greedy = [log_p[i, at[tuple(row)]] for i, row in enumerate(greedy.tolist())]
    assert np.all(of_greedy <= log_p.max(axis=1) + 1e-6)
    np.testing.assert_array_equal(tiny.modality.check(tiny.decode(z, beams=1)), greedy)


def test_samples_are_as_frequent_as_they_are_probable(tiny) -> None:
    z, n = np.tile(np.array([[0.3, -1.0]], "float32"), (4000, 1)), 4000
    likelihood, rows = tiny.likelihood_of(z), every_row()
    for temperature in (1.0, 0.5):
        drawn = np.asarray(likelihood.sample(seed=1, temperature=temperature))
        first = np.bincount(drawn[:, 0], minlength=4) / n
        log_p = np.asarray(
            keras.ops.log_softmax(
                tiny.decoder.step(
                    keras.ops.zeros(1, "int32"),
                    0,
                    tiny.decoder.start(likelihood.parameters[:1]),
                )[0]
                / temperature
            )
        )[0]
        np.testing.assert_allclose(first, np.exp(log_p), atol=0.03)
    assert {tuple(row) for row in drawn.tolist()} <= set(map(tuple, rows.tolist()))


def test_a_temperature_sharpens_and_repeats_with_its_seed(trained) -> None:
    assert trained.sample(3, seed=0) == trained.sample(5, seed=0)[:3]
    hot, warm = (trained.sample(40, seed=0, temperature=t) for t in (3.0, 0.3))
    assert hot == trained.sample(40, seed=0, temperature=3.0)
    known = [sum(s in SENTENCES for s in drawn) for drawn in (hot, warm)]
    assert known[0] < known[1]
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`temperature` must be"):
            trained.sample(1, temperature=temperature)


def test_only_what_writes_step_by_step_has_beams_and_temperature() -> None:
    model = aezoo.create("dense_vae", input_shape=(8, 8, 1), hidden_units=(4,))
    with pytest.raises(UnsupportedOperationError, match="`beams` is for models that"):
        model.decode(np.zeros((1, model.latent_dim)), beams=2)
    with pytest.raises(UnsupportedOperationError, match="cannot sample with"):
        model.sample(1, temperature=0.5)


# --- Models ---------------------------------------------------------------------------


def test_it_learns_sentences_and_the_space_between(trained) -> None:
    assert trained.reconstruct(SENTENCES) == SENTENCES
    assert trained.reconstruct(["I hear the dog."], beams=3) == ["i hear the dog ."]
    path = trained.interpolate(SENTENCES[0], SENTENCES[-1], steps=5)
    assert path[0] == SENTENCES[0]
    assert path[-1] == SENTENCES[-1]
    assert all(sentence in SENTENCES for sentence in path)
    # as many as a sentence has words, at most, and as a code has units
    for count in (2, 4, 6):
        paths = trained.interpolate(SENTENCES[:count], SENTENCES[-count:], steps=2)
        assert [p[0] for p in paths] == SENTENCES[:count]


def test_word_dropout_is_of_training_alone(trained) -> None:
    z = keras.ops.zeros((200, 4))
    told = trained.decode_parameters(z, training=True)[:, 4:]
    assert 0.2 < 1.0 - float(keras.ops.mean(told)) < 0.4
    assert float(keras.ops.min(trained.decode_parameters(z)[:, 4:])) == 1.0


def test_free_bits_cost_nothing_below_their_bound() -> None:
    model = aezoo.create("sentence_vae", modality=TEXT, free_bits=0.5, units=4)
    mean = np.zeros((4, 32), "float32")
    mean[:, 0] = 3.0
    outputs = {
        "decoder_output": model.decode_parameters(mean),
        "z_mean": keras.ops.convert_to_tensor(mean),
        "z_log_var": keras.ops.zeros((4, 32)),
    }
    x = model.modality.to_model(TEXT.check(SENTENCES[:4]))
    terms = model.compute_terms(x, outputs)
    np.testing.assert_allclose(terms["kl"], 4.5, rtol=1e-6)
    np.testing.assert_allclose(terms["free_bits"], 31 * 0.5, rtol=1e-6)
    assert model.loss_weights["free_bits"] == model.beta


def test_a_penalty_on_the_derivative_of_words_is_refused() -> None:
    modality = Text(words="a b c")
    with pytest.raises(NetworkError, match=r"no derivative, so `penalty='gradient'`"):
        aezoo.create("rae", modality=modality, network="recurrent", penalty="gradient")


@pytest.mark.parametrize(
    "objective",
    chosen(
        ["iwae", "wae", "beta_tcvae", "vamp_vae", "contractive_ae"],
        ["wae", "contractive_ae"],
    ),
)
def test_other_objectives_run_on_sentences_or_say_why_not(objective) -> None:
    sizes = {"embedding_dim": 4, "units": 4, "latent_dim": 2}

    def create():
        return aezoo.create(objective, network="recurrent", modality=TEXT, **sizes)

    if objective in ("vamp_vae", "contractive_ae"):
        with pytest.raises(ValueError, match=r"[Ss]entences"):
            create()
        return
    model = create()
    model.compile()
    model.fit(SENTENCES, verbose=0)
    assert len(model.reconstruct(SENTENCES[:2])) == 2


def test_a_network_that_cannot_carry_sentences_says_so() -> None:
    with pytest.raises(ValueError, match="cannot carry sentences"):
        aezoo.create("vae", network="dense", modality=TEXT)


def test_what_a_graph_is_given_wrongly_becomes_nan(trained) -> None:
    rows = np.array([[2, 3, 0, 0, 0, 0], [2, 0, 3, 0, 0, 0], [99, 0, 0, 0, 0, 0]])
    z = np.asarray(trained(rows)["z"])
    assert np.isfinite(z[0]).all()
    assert np.isnan(z[1:]).all()


# --- Files, folders, commands ---------------------------------------------------------


def test_it_is_saved_with_its_words_loaded_and_verified(folder) -> None:
    entry = json.loads((folder / "aezoo.json").read_text())
    assert entry["config"]["modality"]["words"] == WORDS
    loaded = aezoo.load(folder)
    assert loaded.modality == TEXT
    assert loaded.reconstruct(SENTENCES) == SENTENCES
    report = aezoo.verify(folder)
    assert report.ok, report
    assert "golden log_probs" in {check.what for check in report.checks}
    assert "sentence" in (folder / "README.md").read_text()


def test_its_bound_is_evaluated_from_a_text_file(trained, tmp_path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("".join(f"{s}\n" for s in SENTENCES))
    report = aezoo.evaluate(
        trained,
        path,
        metrics=["elbo", "kl", "iwae_nll"],
        importance_samples=20,
    )
    nll = report.metrics["iwae_nll"].value
    assert np.log(16) - 0.5 < nll < -report.metrics["elbo"].value + 0.1
    assert report.metrics["elbo"].unit == "nats per sentence"


def test_the_command_line_takes_and_gives_lines(folder, tmp_path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, [*arguments])
        assert result.exit_code == 0, result.output
        return result.output

    path = tmp_path / "two.txt"
    path.write_text("I see a cat.\n\nyou hear the wombat .\n", encoding="utf-8")
    name = str(folder)
    output = run("reconstruct", name, "you see the dog .", str(path))
    assert output.count("you see the dog .\nyou see the dog .\n") == 1
    assert "i see a cat .\ni see a cat .\n" in output
    assert "1 word outside the vocabulary became <unk>: 'wombat'" in output
    assert "words are right" in output
    assert "i see a cat .\n" in run(
        "reconstruct", name, "i see a cat .", "--beams", "3"
    )
    sampled = run("sample", name, "-n", "3", "--temperature", "0.5")
    assert len(sampled.splitlines()) == 4
    output = run("interpolate", name, SENTENCES[0], SENTENCES[-1], "--steps", "3")
    assert output.splitlines()[0] == SENTENCES[0]
    assert SENTENCES[0] in run("traverse", name, SENTENCES[0], "--dim", "0")
    run("encode", name, str(path), "-o", str(tmp_path / "z.npz"))
    with np.load(tmp_path / "z.npz") as file:
        assert file["z"].shape == (2, 4)
    run("describe", name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a wombat .", "--strict"), "outside the vocabulary: 'wombat'. Drop --strict"),
        ((" ",), "is empty"),
        (("i " * 9,), "too long"),
        (("i", "--invert"), "--invert is not for sentences"),
        (("missing.txt",), "No such file"),
        (("bytes.txt",), "line 2` holds bytes that are no UTF-8"),
        (("empty.txt",), "is empty"),
    ],
)
def test_commands_refuse_with_a_line(
    folder, tmp_path, monkeypatch, arguments, message
) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"i see\n\xff\xfe\n")
    (tmp_path / "empty.txt").write_text("\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["reconstruct", str(folder), *arguments])
    assert result.exit_code != 0
    assert message in result.output


@pytest.mark.skipif(BACKEND != "tensorflow", reason="looks at TensorFlow's graph")
def test_training_does_not_write_sentences(tiny) -> None:
    import tensorflow as tf

    @tf.function
    def point(z):
        return tiny.point(tiny.decode_parameters(z))

    graph = point.get_concrete_function(tf.TensorSpec((None, 2), "float32")).graph
    loops = {op.type for op in graph.get_operations() if "While" in op.type}
    # a loop without state is left out where nobody looks at what it gives
    assert loops == {"StatelessWhile"}
