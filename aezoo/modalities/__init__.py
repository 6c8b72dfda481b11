"""What an example is: how it is checked, scaled, read, written and shown."""

from aezoo.modalities.base import Modality, Preview, checked_before, from_config
from aezoo.modalities.image import Image
from aezoo.modalities.label import UNLABELLED, Label
from aezoo.modalities.music import Music
from aezoo.modalities.numbers import Numbers
from aezoo.modalities.text import Text
from aezoo.modalities.trajectory import Trajectory
from aezoo.modalities.voxels import Voxels

__all__ = [
    "UNLABELLED",
    "Image",
    "Label",
    "Modality",
    "Music",
    "Numbers",
    "Preview",
    "Text",
    "Trajectory",
    "Voxels",
    "checked_before",
    "from_config",
]
