"""Commands that measure and check: `evaluate`, `metrics`, `verify`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import aezoo
from aezoo.cli._common import (
    NAMES,
    Names,
    complete_name,
    count_of,
    data_dir_option,
    find_model,
    is_own,
    joined,
    json_option,
    load_model,
    main,
    name_argument,
    one_line,
    output_option,
    print_table,
    quiet_loading,
    report_file,
    seed_option,
)
from aezoo.cli._terminal import echo, print_json
from aezoo.utils.progress import with_progress

if TYPE_CHECKING:
    from aezoo.evaluation import Report
    from aezoo.manifest import Metric
    from aezoo.store.verify import Verification


@main.command(epilog=NAMES)
@name_argument
@click.option(
    "--dataset",
    help="TFDS name, folder of images (subfolders are classes), or .npz file with "
    "`images` and, if any, `labels`. [default: what NAME was trained on]",
)
@click.option("--split", default="test", show_default=True, help="Of the dataset.")
@click.option(
    "--metrics",
    type=Names(),
    multiple=True,
    help="Metrics, separated by commas; may be repeated. `all`: every one that model "
    "and dataset can have. `aezoo metrics` lists them. [default: the quick ones]",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first N images.")
@seed_option("Of all that is drawn; same seed, same figures.")
@click.option("--train", help="Training data of probes. [default: the split train]")
@click.option(
    "--importance-samples",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Codes per image in iwae_nll and bits_per_dim.",
)
@click.option(
    "--num-samples",
    type=click.IntRange(2),
    help="Generated images in metrics of samples. [default: as many as images]",
)
@data_dir_option
@click.option("--baselines", is_flag=True, help="Measure PCA and raw pixels as well.")
@output_option("Report (.json)")
@json_option
def evaluate(
    name: str,
    dataset: str | None,
    metrics: tuple[list[str], ...],
    train: str | None,
    output: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure model NAME on a dataset, and say how each figure was made."""
    from aezoo.data.datasets import open_dataset
    from aezoo.utils.files import check_output

    known = find_model(name)
    if output is not None:
        check_output(output, (".json",))
    dataset = dataset or known.dataset
    if dataset is None:
        raise click.UsageError(f"Say with --dataset on what to measure {name}.")
    for source in (dataset, train):
        if source is not None and _is_file(source):
            open_dataset(source)  # what is missing or broken is told at once
    model = load_model(known)
    names: Any = joined(metrics)
    if names is not None and "all" in names:
        names = "all"
    report = aezoo.evaluate(model, dataset, metrics=names, train=train, **settings)
    _print_left_out(report)
    if output is not None:
        from aezoo.utils.files import atomic_path

        with atomic_path(output) as temporary:
            temporary.write_text(report.to_json() + "\n", encoding="utf-8")
    if as_json:
        print_json(report.to_dict())
        return
    _print_report(report)
    if output is not None:
        report_file(output, count_of(len(report), "metric"))


def _is_file(source: str) -> bool:
    """Whether a dataset is meant as a path, and is no folder."""
    return (source.endswith(".npz") or "/" in source) and not Path(source).is_dir()


def _print_left_out(report: "Report") -> None:
    metrics_by_reason: dict[str, list[str]] = {}
    for metric, reason in report.left_out.items():
        metrics_by_reason.setdefault(one_line(reason), []).append(metric)
    for reason, those in metrics_by_reason.items():
        echo(f"Left out {', '.join(those)}: {reason}", err=True)


def _print_report(report: "Report") -> None:
    reports = [report, *report.baselines.values()]
    rows = [
        [
            metric,
            *(
                _figure(r.metrics[metric]) if metric in r.metrics else ""
                for r in reports
            ),
            record.unit,
        ]
        for metric, record in report.metrics.items()
    ]
    header = ["metric", report.model, *report.baselines, "unit"]
    print_table(header, rows, numeric=range(1, len(reports) + 1))
    # Every protocol begins with the images, which are the same for all.
    images = next(iter(report.metrics.values())).protocol.partition("; ")[0]
    echo(f"\nMeasured on {images}:")
    for metric, record in report.metrics.items():
        echo(f"  {metric}: {record.protocol.removeprefix(f'{images}; ')}.")


def _figure(record: "Metric") -> str:
    """A value with as many digits as its standard error tells, and that error."""
    error = record.standard_error
    if not error:
        return f"{record.value:.6g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{record.value:.{digits}f} ± {error:.{digits}f}"


@main.command()
@click.argument("name", required=False, shell_complete=complete_name)
@json_option
def metrics(name: str | None, as_json: bool) -> None:
    """List the metrics of `aezoo evaluate`, or those that model NAME can have."""
    from aezoo.metrics.definition import Placeholders, words

    if name is None:
        from aezoo.metrics import METRICS

        described = [(d, words("example", "element")) for d in METRICS.values()]
    else:
        known = find_model(name)
        with quiet_loading("TensorFlow"):
            from aezoo.evaluation import definition
            from aezoo.evaluation.context import words_of
            from aezoo.evaluation.measure import list_metrics
        model = load_model(known)
        having = [definition.METRICS[metric] for metric in list_metrics(model)]
        described = [(d, words_of(model, d.view, "<seed>")) for d in having]
    rows: list[dict[str, Any]] = []
    for metric, fields in described:
        better = {True: "higher", False: "lower", None: ""}[metric.higher_is_better]
        rows.append(
            {
                "name": metric.name,
                "unit": metric.unit.format_map(Placeholders(fields)),
                "better": better,
                "needs": ", ".join(metric.needs),
                "protocol": metric.protocol.format_map(Placeholders(fields)),
                "reference": metric.reference,
            }
        )
    if as_json:
        print_json(rows)
        return
    columns = ("name", "better", "needs", "unit")
    print_table(columns, [[row[c] for c in columns] for row in rows], numeric=())
    echo("\n`--json` says how each is measured.")
    if name is None:
        several = [d.name for d, _ in described if d.has_samplers]
        echo(f"Of fitted samplers, too: {', '.join(several)}, as in {several[0]}/gmm.")


@main.command(epilog=NAMES)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_name)
@click.option("--all", "everything", is_flag=True, help="All models and extractors.")
@json_option
def verify(names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Check the files of models NAME, and that they compute what was published.

    The SHA-256 of weights and golden tensors, the manifest's entry (of a folder: its
    aezoo.json), and how far what is computed here - codes, posterior, reconstruction,
    seeded samples - is from the golden tensors.
    """
    from aezoo import manifest

    if everything == bool(names):
        raise click.UsageError("Name models to verify, or pass --all; not both.")
    extractors = manifest.extractors()
    if everything:
        names = (*aezoo.list_models(), *extractors)
    for name in names:
        if name not in extractors and not is_own(name):
            aezoo.describe(name)
    with quiet_loading("TensorFlow"):
        from aezoo.store.verify import verify as check
    width = max(map(len, names))
    verifications = []
    for name in with_progress(names, "Verifying", "model") if as_json else names:
        verifications.append(check(name))
        if not as_json:
            _print_verification(verifications[-1], width)
    if as_json:
        print_json([verification.to_dict() for verification in verifications])
    failed = [v.name for v in verifications if not v.ok]
    if not failed:
        return
    remedy = ""
    if not all(map(is_own, failed)):
        remedy = "`pip install --force-reinstall --no-deps aezoo` restores damaged "
        remedy += "files. "
    raise click.ClickException(
        f"{len(failed)} of {count_of(len(names), 'model')} failed: "
        f"{', '.join(failed)}. {remedy}If golden tensors still deviate, report what "
        f"`aezoo verify {failed[0]} --json` prints."
    )


def _print_verification(verification: "Verification", width: int) -> None:
    total, failures = len(verification.checks), verification.failures
    line = f"{verification.name:<{width}}  {total - len(failures)}/{total} checks"
    if verification.worst is not None:
        deviation, tolerance = (
            verification.worst.deviation,
            verification.worst.tolerance,
        )
        line += f", largest deviation {deviation:7.1e}, tolerance {tolerance:g}"
    if failures:
        echo(f"{line}  FAILED", fg="red", bold=True)
    else:
        echo(line)
    for failure in failures:
        echo(f"  {failure.what}: {failure.detail}")
