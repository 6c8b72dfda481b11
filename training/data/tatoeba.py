"""English sentences of Tatoeba, from the public lists of sentence pairs.

    python -m training.data.tatoeba DIR --from cmn.txt deu.txt jpn.txt ben.txt
    python -m training.data.tatoeba DIR --from ../shared/data/tatoeba_en/*.txt

writes `DIR/tatoeba/train.txt`, `valid.txt` and `test.txt`, which `--data-dir DIR`
reads: one sentence a line. Sources are lines of which what stands before the first tab
is an English sentence: the exports of https://www.manythings.org/anki (CC BY 2.0 FR,
tatoeba.org). The weights of the zoo were trained on those of 2018-04-07 and 2021-07-14
that stand in the public repositories vivounicorn/attention-seq2seq (cmn-eng/cmn.txt),
DarrenCarvalho/Language-Translation (data/deu.txt) and sezan92/attention_sezan
(data/jpn.txt, data/ben.txt).

Each sentence stands once. Its letters and digits in lower case decide by their SHA-256
where it goes, so that what differs in case or marks alone stays together: a twentieth
to the test split, another to the validation split. Sentences of more than `MAX_WORDS`
words and marks are left out, 0.2 %.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import click

from aezoo.modalities.text import read_lines, split_words
from aezoo.utils.files import atomic_path

MAX_WORDS = 20
# Of all sentences, below which a share goes to a split.
BOUNDS = (("test", 0.05), ("valid", 0.10), ("train", 1.0))


def share_of(sentence: str) -> float:
    """Where a sentence stands in [0, 1), whatever its case and marks."""
    key = re.sub(r"[^a-z0-9]+", " ", sentence.lower()).strip()
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(sentence: str) -> str:
    """The split that a sentence belongs to."""
    share = share_of(sentence)
    return next(name for name, bound in BOUNDS if share < bound)


def build(sources: Iterable[Path], folder: Path) -> dict[str, int]:
    """Write the splits; returns how many sentences each has.

    The order of a split depends on its sentences alone.

    Args:
        sources: Text files in UTF-8.
        folder: Where `train.txt` and so on are written.

    Raises:
        ValueError: If a source is no UTF-8.
        OSError: If one cannot be read.
    """
    found = {
        sentence
        for source in sources
        for line in read_lines(source)
        if (sentence := line.partition("\t")[0].strip())
        and 0 < len(split_words(sentence)) <= MAX_WORDS
    }
    order = sorted(found, key=lambda s: hashlib.sha256(s.encode()).digest())
    counts = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, _ in BOUNDS:
        chosen = [s for s in order if split_of(s) == name]
        with atomic_path(folder / f"{name}.txt") as path:
            path.write_text("".join(f"{s}\n" for s in chosen), encoding="utf-8")
        counts[name] = len(chosen)
    return counts


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "sources",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    required=True,
    help="A text file; may be repeated.",
)
@click.argument("more", type=click.Path(path_type=Path, exists=True), nargs=-1)
def main(folder: Path, sources: tuple[Path, ...], more: tuple[Path, ...]) -> None:
    """Command line."""
    for name, count in build((*sources, *more), folder / "tatoeba").items():
        click.echo(f"{name}: {count:,} sentences")


if __name__ == "__main__":
    main()
