"""The drawn shapes as a TFDS dataset: import this module, then `tfds.load("shapes")`.

The first use draws them into the data directory, later ones read them. The examples
come in the order of `aezoo.data.shapes.split_indices`.
"""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from aezoo.data.shapes import (
    FACTOR_NAMES,
    FACTOR_SIZES,
    SHAPES,
    SIZE,
    SPLITS,
    draw_shapes,
    factors,
    split_indices,
)

_DESCRIPTION = f"""\
White shapes ({", ".join(SHAPES)}) on black, {SIZE} x {SIZE} pixels, one image for every
combination of shape, scale, orientation, x position and y position. Drawn by aezoo, in
the spirit of dSprites; nothing is downloaded. No shape has a rotational symmetry, so
every image is unique.
"""
_CITATION = """\
@misc{dsprites17,
  title = {dSprites: Disentanglement testing Sprites dataset},
  howpublished = {https://github.com/google-deepmind/dsprites-dataset},
  year = {2017},
}
"""


class Shapes(tfds.core.GeneratorBasedBuilder):
    """27,648 images of five known factors: 22,118 to train on, 5,530 to test on."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        labels = {
            f"label_{name}": tfds.features.ClassLabel(
                **({"names": SHAPES} if name == "shape" else {"num_classes": size})
            )
            for name, size in zip(FACTOR_NAMES, FACTOR_SIZES, strict=True)
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            citation=_CITATION,
            license="Apache-2.0",
            features=tfds.features.FeaturesDict(
                {"image": tfds.features.Image(shape=(SIZE, SIZE, 1)), **labels}
            ),
            disable_shuffling=True,
        )

    def _split_generators(
        self, _: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        rows = factors()[split_indices(split)]
        for key, (image, row) in enumerate(zip(draw_shapes(rows), rows, strict=True)):
            labels = zip(FACTOR_NAMES, row, strict=True)
            yield key, {"image": image} | {f"label_{name}": k for name, k in labels}
