"""Lessons: every number from what was measured, no claim within the noise."""

import re

import pytest
from click.testing import CliRunner

from aezoo.manifest import Metric
from training import lessons, seeds
from training.grid import OBJECTIVES, Objective
from training.lessons import (
    CLAIMS,
    LessonError,
    Operand,
    Records,
    lesson_text,
    literals,
    read_records,
    verdict,
    verdict_text,
)
from training.seeds import Figure

VAE, AE, FLOW = "conv_vae_mnist", "conv_ae_mnist", "flow_vae_mnist_iaf"


def figures(
    model: str, metric: str, *values: float, protocol: str = "all images; p"
) -> list[Figure]:
    return [
        Figure(model, seed, metric, Metric(value, "u", protocol), 1.0)
        for seed, value in enumerate(values)
    ]


def told(lesson: str, *records: list[Figure], row: str = VAE) -> str:
    return lesson_text(
        Objective(row, "words", lesson), Records([f for part in records for f in part])
    )


def test_a_field_is_the_mean_over_seeds_with_its_interval() -> None:
    three = figures(VAE, "frechet/lenet_mnist_v1", 10.0, 11.0, 12.0)
    assert told("From {frechet}.", three) == "From 11.00 ± 2.48."


def test_too_few_seeds_are_said_and_carry_no_interval() -> None:
    assert told("At {mse}.", figures(VAE, "mse", 0.01)) == (
        "At 0.01000. (1 of 3 seeds so far: no claim.)"
    )
    text = told(
        "{mse vs conv_ae_mnist}.",
        figures(VAE, "mse", 0.01, 0.01, 0.01),
        figures(AE, "mse", 0.02, 0.02),
    )
    assert text == (
        "MSE 0.01000 below that of `conv_ae_mnist`. (2 of 3 seeds so far: no claim.)"
    )
    assert told("{mse vs conv_ae_mnist}.", figures(VAE, "mse", 0.01)) == (
        "MSE against that of `conv_ae_mnist` not measured yet. "
        "(0 of 3 seeds so far: no claim.)"
    )
    assert told("At {mse}.") == (
        "At (no MSE measured yet). (0 of 3 seeds so far: no claim.)"
    )


def test_a_difference_beyond_the_noise_is_told_by_side_and_interval() -> None:
    text = told(
        "{mse vs conv_ae_mnist:%}, {mse vs conv_ae_mnist}.",
        figures(VAE, "mse", 0.0299, 0.0300, 0.0301),
        figures(AE, "mse", 0.0199, 0.0200, 0.0201),
    )
    assert text == (
        "MSE 50 ± 1 % above that of `conv_ae_mnist`, "
        "MSE 0.01000 ± 0.00023 above that of `conv_ae_mnist`."
    )


def test_a_difference_within_the_noise_is_said_to_be_one() -> None:
    text = told(
        "{elbo/binarised vs flow_vae_mnist_iaf}.",
        figures(VAE, "elbo/binarised", -90.0, -92.0, -91.0),
        figures(FLOW, "elbo/binarised", -90.5, -92.5, -91.0),
    )
    assert text == (
        "ELBO within the noise (0.33 ± 2.32 above) of that of `flow_vae_mnist_iaf`."
    )


def test_two_figures_of_the_same_trainings_are_compared_in_pairs() -> None:
    text = told(
        "{frechet vs frechet/gmm}.",
        figures(VAE, "frechet/e_v1", 20.0, 30.0, 40.0),
        figures(VAE, "frechet/gmm/e_v1", 5.0, 15.1, 25.0),
    )
    assert re.match(r"Frechet distance 14.97 ± 0.14 above Frechet distance of", text)


def test_a_lesson_may_compare_other_rows_which_need_their_own_seeds() -> None:
    a, b = "beta_tcvae_shapes", "beta_vae_shapes_b4"
    field = f"{{{a}.mig vs {b}}}"
    values = (0.5, 0.51, 0.52, 0.5, 0.51)
    lower = figures(b, "mig", *(value - 0.3 for value in values))
    assert told(field, figures(a, "mig", *values), lower) == (
        f"MIG of `{a}` 0.300 ± 0.012 above that of `{b}`"
    )
    assert told(field, figures(a, "mig", *values[:3]), lower).endswith(
        "(3 of 5 seeds so far: no claim.)"
    )


def test_only_like_is_compared_with_like() -> None:
    with pytest.raises(LessonError, match=r"'mse' by different protocols"):
        Records(
            [
                *figures(VAE, "mse", 1.0),
                Figure(VAE, 1, "mse", Metric(1.0, "u", "other images; p"), 1.0),
            ]
        )
    records = Records(
        [
            *figures(VAE, "mse", 1.0),
            *figures(AE, "mse", 1.0, protocol="the first 500 images; p"),
        ]
    )
    with pytest.raises(LessonError, match=r"do not compare: .*the first 500 images"):
        records.comparison(Operand(VAE, "mse"), Operand(AE, "mse"))


@pytest.mark.parametrize(
    "field", ["{msee}", "{mse vs conv_ae}", "{conv_ae.mse}", "{mse:.3f}"]
)
def test_a_field_that_names_nothing_is_refused(field: str) -> None:
    with pytest.raises(LessonError, match=r"has a field|must name a row"):
        told(field, figures(VAE, "mse", 1.0))


# --- Columns -------------------------------------------------------------------------


def test_a_row_wins_only_beyond_the_noise_of_every_other() -> None:
    ahead = figures(VAE, "mse", 0.010, 0.0101, 0.0102)
    near = figures(AE, "mse", 0.0101, 0.0102, 0.0103)
    far = figures(FLOW, "mse", 0.020, 0.0201, 0.0202)
    names = [VAE, AE, FLOW]
    clear = verdict("mse", names, Records([*ahead, *far]))
    assert clear.winner == VAE
    assert verdict_text("MSE", clear) == f"MSE: `{VAE}` is ahead of every other row."
    tie = verdict("mse", names, Records([*ahead, *near, *far]))
    assert tie.winner is None
    assert verdict_text("MSE", tie) == (
        f"MSE: no row is ahead; the best mean is that of `{VAE}`, and `{AE}` does not "
        "differ from it beyond the noise."
    )


def test_rows_of_one_seed_and_metrics_without_direction_win_nothing() -> None:
    few = Records([*figures(VAE, "mse", 0.01, 0.01), *figures(AE, "mse", 2.0, 2.0)])
    assert verdict("mse", [VAE, AE], few).winner is None
    kl = Records([*figures(VAE, "kl", 1.0, 1.1, 1.2), *figures(AE, "kl", 9, 9.1, 9.2)])
    assert verdict("kl", [VAE, AE], kl).best is None
    assert verdict_text("KL", verdict("kl", [VAE, AE], kl)) == ""


# --- The lessons as they stand -------------------------------------------------------


@pytest.mark.parametrize("row", OBJECTIVES, ids=lambda row: row.name)
def test_numbers_and_comparisons_of_a_lesson_are_fields(row: Objective) -> None:
    assert CLAIMS.findall(literals(row.lesson)) == []
    assert "{" in row.lesson


def test_a_number_or_comparison_in_words_is_found() -> None:
    for words in ("98 of", "60%", "by far the best", "1.6 nats", "three times"):
        assert CLAIMS.search(literals(f"It has {words} {{mse}}")), words


def test_every_lesson_is_filled_from_the_results_as_they_are() -> None:
    records = read_records()
    for row in OBJECTIVES:
        text = lesson_text(row, records)
        assert not re.search(r"[{}]|\bnan\b", text), row.name


def test_the_command_prints_lessons_and_refuses_other_names() -> None:
    result = CliRunner().invoke(lessons.main, ["conv_vae_mnist"])
    assert result.exit_code == 0
    assert result.output.startswith("conv_vae_mnist: The reference.")
    assert len(result.output.splitlines()) == 1
    refused = CliRunner().invoke(lessons.main, ["conv_vae"])
    assert refused.exit_code == 1
    assert "Received: conv_vae." in refused.output


def test_figures_of_a_results_file_come_before_the_manifests(
    tmp_path, monkeypatch
) -> None:
    results = tmp_path / "seeds.csv"
    monkeypatch.setattr(seeds, "RESULTS", results)
    published = read_records().values(VAE, "mse")
    assert list(published) == [0]
    protocol = seeds.manifest.entries()[VAE].metrics["mnist/test"]["mse"].protocol
    seeds.append(results, [Figure(VAE, 1, "mse", Metric(0.5, "u", protocol), 1.0)])
    assert read_records().values(VAE, "mse") == {**published, 1: 0.5}
