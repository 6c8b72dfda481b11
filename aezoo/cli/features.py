"""Commands on features: `encode`, `nearest`, `cluster`, `outliers`."""

import contextlib
import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aezoo.cli._common import (
    MAX_NOTES,
    NAMES,
    READING,
    Command,
    Model,
    check_shown,
    count_of,
    data_dir_option,
    engine_option,
    examples_argument,
    find_model,
    given_option,
    invert_option,
    json_option,
    load_model,
    main,
    name_argument,
    one_line,
    output_option,
    print_notes,
    print_table,
    quiet_loading,
    read_examples,
    read_given,
    report_file,
    seed_option,
    show,
    strict_option,
)
from aezoo.cli._terminal import echo, print_json

if TYPE_CHECKING:
    import numpy as np

    from aezoo.data.streams import Stream
    from aezoo.features.streaming import FeatureEncoder, Features

_SOURCE = (
    "A folder of files (its subfolders are classes), a dataset and its split, e.g. "
    "mnist/test, an .npz file with `examples` and, if any, `labels`, or a .txt file "
    "with an example on each line."
)
_layer = click.option(
    "--layer",
    help="Layer whose output the features are, e.g. pool; `aezoo.feature_info(NAME)` "
    "lists them. [default: the code]",
)
_pooling = click.option(
    "--pooling",
    type=click.Choice(["avg", "max"]),
    help="Mean or maximum over positions. [default: all positions, in one row]",
)
_batch_size = click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Examples per step.",
)
_on_error = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do with files that hold no example.",
)


_source_argument = click.argument(
    "source", type=click.Path(path_type=Path), required=True
)


def _encoding_options(command: Command) -> Command:
    """Options of all commands that encode many examples."""
    options = (_layer, _pooling, _batch_size, _on_error, data_dir_option, invert_option)
    for option in reversed(options):
        command = option(command)
    return command


@main.command(epilog=f"{NAMES} {READING}")
@name_argument
@examples_argument("examples", nargs=-1)
@output_option(
    "NumPy archive (.npz), or Parquet file (.parquet) for any number of examples",
    required=True,
)
@_encoding_options
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with what an interrupted run has encoded, or discard it.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing .parquet file.")
@given_option
@engine_option
@strict_option
def encode(
    name: str,
    examples: tuple[str, ...],
    output: Path,
    invert: bool,
    told: tuple[tuple[str, str], ...],
    engine: str,
    strict: bool,
    **options: Any,
) -> None:
    """Write the codes of EXAMPLES from model NAME.

    An .npz archive holds `z` (one row per example: the posterior's mode), the
    parameters of the posterior where the family has them (`z_mean`, `z_log_var`), and
    `paths`. Models of text take sentences, or .txt files with one on each line.

    A .parquet file holds `path`, `label` and `feature` of all examples of one source,
    which may have any size: a folder, a dataset and its split, e.g. mnist/test, an .npz
    or a .txt file. A run that was interrupted goes on where it stopped when it is
    started again. The other options belong to .parquet.
    """
    from aezoo.utils.files import check_output

    if engine != "keras" and output.suffix.lower() == ".parquet":
        raise click.UsageError("--engine belongs to .npz files.")
    known = find_model(name, engine)
    if check_output(output, (".npz", ".parquet")).suffix.lower() == ".parquet":
        if len(examples) != 1:
            raise click.UsageError(
                "A .parquet file takes one folder or dataset in place of EXAMPLES."
            )
        if strict:
            raise click.UsageError("--strict belongs to .npz files.")
        if told:
            raise click.UsageError("--given belongs to .npz files.")
        _encode_source(known, examples[0], output, invert=invert, **options)
        return
    context = click.get_current_context()
    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name != "DEFAULT":
            flag = option.replace("_", "-")
            raise click.UsageError(f"--{flag} belongs to .parquet files.")
    _encode_examples(known, examples, output, told, invert=invert, strict=strict)


def _encode_examples(
    known: "Model",
    sources: tuple[str, ...],
    output: Path,
    told: tuple[tuple[str, str], ...],
    **options: bool,
) -> None:
    from aezoo.utils.arrays import to_numpy
    from aezoo.utils.files import atomic_path

    x = read_examples(sources, known, **options)
    model = load_model(known)

    import numpy as np

    posterior = model.posterior(x, given=read_given(told, model, len(x)))
    arrays: dict[str, Any] = {
        **posterior.parameters(),
        "z": posterior.mode(),
        "paths": sources,
    }
    arrays = {key: to_numpy(value) for key, value in arrays.items()}
    with atomic_path(output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    shapes = ", ".join(f"{key} {value.shape}" for key, value in arrays.items())
    report_file(output, shapes)


def _encode_source(known: Model, source: str, output: Path, **options: Any) -> None:
    from aezoo.features.streaming import EncodingRun

    _check_invert(known, options["invert"])
    with _quiet_datasets(source):
        run = EncodingRun(known.name, source, output, **options)

    def load() -> "FeatureEncoder":
        with quiet_loading(known.name):
            return run.load()

    done = run.write(load)
    print_notes(done.notes)
    _print_skipped(done.skipped)
    if done.num_resumed:
        before = count_of(done.num_resumed, known.modality.noun)
        echo(f"{before} had been encoded before.")
    width = math.prod(done.metadata["feature_shape"])
    report_file(output, f"{count_of(done.num_rows, 'row')} of {width} numbers")


def _quiet_datasets(source: str) -> contextlib.AbstractContextManager[None]:
    """Named datasets import TensorFlow; files do not."""
    if Path(source).exists():
        return contextlib.nullcontext()
    return quiet_loading("the dataset")


def _print_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    for _, reason in skipped[:MAX_NOTES]:
        echo(f"Skipped: {one_line(reason)}", err=True)
    if skipped:
        total = count_of(len(skipped), "file")
        echo(f"{total} skipped: nothing in them could be read.", err=True)


def _open_stream(
    known: "Model", source: Path, invert: bool, data_dir: Path | None
) -> "Stream":
    from aezoo.data.streams import open_stream

    _check_invert(known, invert)
    with _quiet_datasets(str(source)):
        return open_stream(
            str(source), known.modality, invert=invert, data_dir=data_dir
        )


def _check_invert(known: "Model", invert: bool) -> None:
    if invert and "invert" not in known.modality.read_options:
        raise click.UsageError(
            f"--invert is not for {known.modality.nouns}, which {known.name} takes."
        )


def _is_features(source: Path) -> bool:
    return source.suffix.lower() == ".parquet"


@dataclasses.dataclass
class _Encoder:
    """An encoder that is loaded when it is first needed, and what it has encoded."""

    known: "Model"
    layer: str | None
    pooling: str | None
    batch_size: int
    on_error: str
    data_dir: Path | None
    invert: bool
    loaded: "FeatureEncoder | None" = None

    @property
    def options(self) -> dict[str, bool]:
        """How files are read, where it is not as usual."""
        return {"invert": True} if self.invert else {}

    def encoder(self) -> "FeatureEncoder":
        from aezoo.features.streaming import FeatureEncoder

        if self.loaded is None:
            with quiet_loading(self.known.name):
                self.loaded = FeatureEncoder(self.known.name, self.layer, self.pooling)
        return self.loaded

    def open(self, source: Path) -> "Features | Stream":
        """What is checked before a model is loaded."""
        if not _is_features(source):
            return _open_stream(self.known, source, self.invert, self.data_dir)
        from aezoo.features.streaming import LATENT, named_entry, read_features

        found = read_features(source)
        sha256 = named_entry(self.known.name).weights.sha256
        expected = {
            "weights_sha256": sha256,
            "layer": self.layer or LATENT,
            "pooling": self.pooling,
        }
        for key, value in expected.items():
            if found.metadata.get(key) != value:
                raise click.ClickException(
                    f"{source} holds features of model {found.metadata['model']}, "
                    f"layer {found.metadata['layer']}, pooling "
                    f"{found.metadata['pooling']}; {key} is not that of "
                    f"{self.known.name} here. Encode the source again, or pass the "
                    "model and options that it was made with."
                )
        return found

    def features(self, opened: "Features | Stream") -> "Features":
        from aezoo.features.streaming import Features, encode_to_memory

        if isinstance(opened, Features):
            return opened
        found = encode_to_memory(
            self.encoder(), opened, batch_size=self.batch_size, on_error=self.on_error
        )
        _print_skipped(found.metadata["skipped"])
        return found

    def draw(self, features: "Features", rows: Sequence[int]) -> "np.ndarray":
        """The examples of rows of features."""
        return self.read([str(features.paths[row]) for row in rows], features.metadata)

    def read(self, paths: Sequence[str], metadata: Mapping[str, Any]) -> "np.ndarray":
        """The examples of paths that features name."""
        from aezoo.features import search

        return search.read_examples(
            paths,
            metadata,
            self.known.modality,
            data_dir=self.data_dir,
            **self.options,
        )


def _require_sklearn(purpose: str) -> None:
    from aezoo.utils.extras import check_installed

    check_installed("sklearn", "features", purpose)


def _check_enough(wanted: int, available: int, what: str) -> None:
    if wanted > available:
        raise click.ClickException(
            f"{count_of(wanted, what)} need at least as many examples. Received: "
            f"{available}."
        )


@main.command(epilog=f"SOURCE: {_SOURCE} {NAMES} {READING}")
@name_argument
@examples_argument("query")
@_source_argument
@click.option(
    "-k", type=click.IntRange(1), default=8, show_default=True, help="How many."
)
@click.option(
    "--metric",
    type=click.Choice(["cosine", "euclidean"]),
    default="cosine",
    show_default=True,
    help="Distance between features.",
)
@output_option("Picture (.png, .jpg, .webp, .bmp or .tif)")
@_encoding_options
@json_option
def nearest(
    name: str,
    query: str,
    source: Path,
    k: int,
    metric: str,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the examples of SOURCE that are most like QUERY to model NAME.

    SOURCE may be a .parquet file that `aezoo encode` wrote; then nothing but QUERY is
    encoded.
    """
    known = find_model(name)
    _check_outputs(known, None, output)
    _require_sklearn("`aezoo nearest`")
    encoder = _Encoder(known, **options)
    _check_invert(known, encoder.invert)
    x = known.modality.read_many(query, **encoder.options)[0][:1]
    opened = encoder.open(source)
    _check_enough(k, len(opened), "neighbour")
    features = encoder.features(opened)
    queries = encoder.encoder()(x)

    from aezoo.features import search

    found = search.nearest(queries, features.features, k, metric)
    indices = found.indices[0].tolist()
    rows = [
        {
            "rank": rank,
            "path": str(features.paths[i]),
            "label": _label(features, i),
            "distance": float(distance),
        }
        for rank, (i, distance) in enumerate(
            zip(indices, found.distances[0], strict=True), 1
        )
    ]
    if known.modality.is_text:
        _add_texts(rows, known, encoder.draw(features, indices))
    _print_records(rows, as_json, {"rank", "distance"})
    if output is not None:
        import numpy as np

        modality = known.modality
        neighbours = modality.unrounded(encoder.draw(features, indices))
        shown = np.concatenate([x, modality.to_dtype(neighbours, x.dtype.name)])
        columns = None if k > 12 else k + 1
        show(known, shown, output, columns, quiet=as_json)


def _add_texts(rows: Sequence[dict[str, Any]], known: Model, x: "np.ndarray") -> None:
    for row, text in zip(rows, known.modality.preview(x).lines, strict=True):
        row["text"] = text


def _label(features: "Features", row: int) -> Any:
    if features.labels is None:
        return None
    label = features.labels[row]
    return label.item() if hasattr(label, "item") else label


def _print_records(
    rows: Sequence[Mapping[str, Any]], as_json: bool, numeric: Collection[str]
) -> None:
    """Rows of a table, or JSON; columns without a value are left out of the table."""
    if as_json:
        print_json(list(rows))
        return
    columns = [c for c in rows[0] if any(row[c] is not None for row in rows)]
    cells = [
        [f"{row[c]:.4g}" if isinstance(row[c], float) else str(row[c]) for c in columns]
        for row in rows
    ]
    places = {i for i, column in enumerate(columns) if column in numeric}
    print_table(columns, cells, numeric=places)


_picture_option = click.option(
    "--picture",
    type=click.Path(path_type=Path),
    help="Picture (.png, .jpg, .webp, .bmp or .tif) to write; of text, lines.",
)
_table = output_option("Table (.csv or .parquet)")


def _check_outputs(known: "Model", output: Path | None, picture: Path | None) -> None:
    from aezoo.features.search import TABLE_SUFFIXES
    from aezoo.utils.files import check_output

    if output is not None:
        check_output(output, TABLE_SUFFIXES)
    if picture is not None:
        check_shown(known, picture)


@main.command(epilog=f"SOURCE: {_SOURCE} {NAMES} {READING}")
@name_argument
@_source_argument
@click.option(
    "-k", type=click.IntRange(2), default=10, show_default=True, help="Clusters."
)
@_table
@_picture_option
@click.option(
    "--members",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Examples of each cluster in the picture, the most typical first.",
)
@seed_option("Of the starts; same seed, same clusters.")
@_encoding_options
@json_option
def cluster(
    name: str,
    source: Path,
    k: int,
    output: Path | None,
    picture: Path | None,
    members: int,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Partition the examples of SOURCE by k-means on the features of model NAME.

    The table has path, cluster and distance to its centre; cluster 0 is the largest.
    Where examples have labels, their agreement with the clusters is printed: the
    adjusted Rand index (1: the same, 0: chance) and the normalised mutual information.
    SOURCE may be a .parquet file that `aezoo encode` wrote.
    """
    known = find_model(name)
    _check_outputs(known, output, picture)
    _require_sklearn("`aezoo cluster`")
    encoder = _Encoder(known, **options)
    opened = encoder.open(source)
    _check_enough(k, len(opened), "cluster")
    features = encoder.features(opened)

    import numpy as np

    from aezoo.features import search

    found = search.cluster(features.features, k, labels=features.labels, seed=seed)
    typical = [
        sorted(
            np.flatnonzero(found.clusters == c).tolist(),
            key=lambda i: found.distances[i],
        )
        for c in range(k)
    ]
    rows = [
        {
            "cluster": c,
            "examples": len(rows),
            "mean_distance": float(found.distances[rows].mean()),
            "common_label": _common_label(features, rows),
            "most_typical": str(features.paths[rows[0]]),
        }
        for c, rows in enumerate(typical)
        if rows  # k-means can leave a cluster empty where examples are the same
    ]
    if as_json:
        print_json({"clusters": rows, "ari": found.ari, "nmi": found.nmi})
    else:
        _print_records(rows, False, {"cluster", "examples", "mean_distance"})
    if found.ari is not None and not as_json:
        echo(f"Agreement with labels: ARI {found.ari:.3f}, NMI {found.nmi:.3f}.")
    if output is not None:
        columns = {
            "path": features.paths,
            "cluster": found.clusters,
            "distance": found.distances,
        }
        _write_table(output, columns, as_json)
    if picture is not None:
        shown = [rows[:members] for rows in typical if rows]
        width = max(map(len, shown))
        x = encoder.draw(features, [i for rows in shown for i in rows])
        sheet = np.zeros((len(shown), width, *x.shape[1:]), x.dtype)
        places = [(r, c) for r, rows in enumerate(shown) for c in range(len(rows))]
        for example, place in zip(x, places, strict=True):
            sheet[place] = example
        grid = sheet.reshape(-1, *x.shape[1:])
        show(known, grid, picture, columns=width, quiet=as_json)


def _common_label(features: "Features", rows: Sequence[int]) -> str | None:
    if features.labels is None:
        return None
    label, times = Counter(features.labels[i] for i in rows).most_common(1)[0]
    return f"{label} ({times / len(rows):.0%})"


def _write_table(path: Path, columns: Mapping[str, Any], quiet: bool) -> None:
    from aezoo.features.search import write_table

    write_table(path, columns)
    if not quiet:
        rows = len(next(iter(columns.values())))
        report_file(path, count_of(rows, "row"))


@main.command(epilog=f"SOURCE: {_SOURCE} {NAMES} {READING}")
@name_argument
@_source_argument
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="Examples that are usual, given as SOURCE is. [default: SOURCE itself]",
)
@click.option(
    "--method",
    type=click.Choice(["mahalanobis", "knn", "reconstruction"]),
    default="mahalanobis",
    show_default=True,
    help="Score: distance to the mean, distance to the k-th neighbour, or error of the "
    "reconstruction.",
)
@click.option(
    "-k", type=click.IntRange(1), default=10, show_default=True, help="Of knn."
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Examples to print and draw, the strangest first.",
)
@_table
@_picture_option
@_encoding_options
@json_option
def outliers(
    name: str,
    source: Path,
    reference: Path | None,
    method: str,
    k: int,
    number: int,
    output: Path | None,
    picture: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Rank the examples of SOURCE by how strange they are to model NAME.

    The table has path and score of all examples, the strangest first. SOURCE and the
    reference may be .parquet files that `aezoo encode` wrote.
    """
    known = find_model(name)
    _check_outputs(known, output, picture)
    encoder = _Encoder(known, **options)
    if method == "reconstruction":
        if reference is not None:
            raise click.UsageError(
                "--reference belongs to mahalanobis and knn: the reconstruction needs "
                "no other examples."
            )
        if _is_features(source):
            raise click.UsageError(
                "--method reconstruction needs the examples: name their folder."
            )
        paths, scores, metadata = _reconstruction_scores(encoder, source)
    else:
        paths, scores, metadata = _feature_scores(encoder, source, reference, method, k)

    import numpy as np

    order = np.argsort(-scores, kind="stable")
    rows = [
        {"rank": rank, "path": str(paths[i]), "score": float(scores[i])}
        for rank, i in enumerate(order[:number], 1)
    ]
    if known.modality.is_text:
        paths_ = [str(row["path"]) for row in rows]
        _add_texts(rows, known, encoder.read(paths_, metadata))
    _print_records(rows, as_json, {"rank", "score"})
    if output is not None:
        _write_table(output, {"path": paths[order], "score": scores[order]}, as_json)
    if picture is not None:
        x = encoder.read([str(row["path"]) for row in rows], metadata)
        show(known, x, picture, quiet=as_json)


def _feature_scores(
    encoder: _Encoder, source: Path, reference: Path | None, method: str, k: int
) -> tuple["np.ndarray", "np.ndarray", Mapping[str, Any]]:
    _require_sklearn("`aezoo outliers`")
    opened = encoder.open(source)
    usual = opened if reference is None else encoder.open(reference)
    if method == "knn":
        _check_enough(k + (reference is None), len(usual), "neighbour")
    features = encoder.features(opened)
    known = None if reference is None else encoder.features(usual).features

    from aezoo.features import search

    scores = search.outlier_scores(features.features, known, method, k=k)
    return features.paths, scores, features.metadata


def _reconstruction_scores(
    encoder: _Encoder, source: Path
) -> tuple["np.ndarray", "np.ndarray", Mapping[str, Any]]:
    from aezoo.features.search import reconstruction_errors

    stream = _open_stream(encoder.known, source, encoder.invert, encoder.data_dir)
    model = load_model(encoder.known)
    found = reconstruction_errors(
        model, stream, encoder.batch_size, on_error=encoder.on_error
    )
    _print_skipped(found.skipped)
    return found.paths, found.errors, {"kind": stream.kind, "source": stream.name}
