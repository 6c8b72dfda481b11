"""How examples are encoded and decoded, as values without weights.

`aezoo.create("iwae", network="resnet")` takes a name, or one of these with arguments:
`network=aezoo.networks.Dense((1024, 256))`.
"""

from aezoo.networks.base import (
    Latent,
    Network,
    NetworkError,
    network_class,
    network_kinds,
)
from aezoo.networks.conv import Conv, ResNet
from aezoo.networks.custom import Custom
from aezoo.networks.dense import Dense
from aezoo.networks.draw import Draw
from aezoo.networks.grid3d import Grid3D
from aezoo.networks.ldm import LDM
from aezoo.networks.linear_gaussian import LinearGaussian
from aezoo.networks.mae import MAE
from aezoo.networks.motion import Motion
from aezoo.networks.occupancy import Occupancy
from aezoo.networks.patches import Patches
from aezoo.networks.recurrent import Recurrent
from aezoo.networks.taesd import TAESD
from aezoo.networks.top_down import TopDown
from aezoo.networks.transforms import Transforms
from aezoo.networks.two_level import TwoLevel
from aezoo.networks.unet import UNet
from aezoo.networks.vit import ViT
from aezoo.networks.voices import Voices

__all__ = [
    "LDM",
    "MAE",
    "TAESD",
    "Conv",
    "Custom",
    "Dense",
    "Draw",
    "Grid3D",
    "Latent",
    "LinearGaussian",
    "Motion",
    "Network",
    "NetworkError",
    "Occupancy",
    "Patches",
    "Recurrent",
    "ResNet",
    "TopDown",
    "Transforms",
    "TwoLevel",
    "UNet",
    "ViT",
    "Voices",
    "network_class",
    "network_kinds",
]
