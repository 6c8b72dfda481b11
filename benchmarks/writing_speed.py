"""Speed of models that write one symbol after another: sentences and chorales.

Seconds of 1,000 sentences decoded greedily and of 64 chorales sampled, after one
untimed call, and how often other numbers of them make the models retrace. Prints
Markdown.
"""

import argparse
import sys

import numpy as np

from benchmarks.common import machine, markdown_table, verdict
from benchmarks.inference_speed import count_traces, median_ms

SENTENCES, CHORALES = 1000, 64
# Of the zoo.
WRITER, COMPOSER = "sentence_vae_tatoeba", "music_vae_jsb"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    import aezoo

    header = machine()
    writer, composer = aezoo.load(WRITER), aezoo.load(COMPOSER)
    traces = count_traces(writer, "decode"), count_traces(composer, "write")
    z = np.random.default_rng(0).standard_normal(
        (SENTENCES, writer.latent_dim), dtype="float32"
    )
    times = median_ms(
        {
            f"`{WRITER}`: {SENTENCES:,} sentences, greedy": lambda: writer.decode(z),
            f"`{COMPOSER}`: {CHORALES} chorales, temperature 1": lambda: (
                composer.sample(CHORALES, seed=0, temperature=1.0)
            ),
        },
        arguments.repeats,
    )
    before = sum(map(len, traces))
    for count in (1, 2, 63, 65, 300):
        writer.decode(z[:count])
        composer.sample(count, seed=0, temperature=1.0)
    print("# Writing\n")
    print(f"{header}; medians of {arguments.repeats} calls.\n")
    rows = [[name, f"{ms / 1e3:.2f}"] for name, ms in times.items()]
    print(markdown_table(["what", "seconds"], rows), end="\n\n")
    sentences, chorales = (ms / 1e3 for ms in times.values())
    print(verdict("sentences, s", sentences, 1.0, at_least=False))
    print(verdict("chorales, s", chorales, 1.0, at_least=False))
    print(verdict("retraces", sum(map(len, traces)) - before, 0, at_least=False))


if __name__ == "__main__":
    sys.exit(main())
