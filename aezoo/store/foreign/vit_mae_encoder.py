"""`ViTMAEModel` of transformers: the encoder of a masked autoencoder alone."""

from typing import ClassVar

from aezoo.store.foreign import vit_mae


class Config(vit_mae.Config, frozen=True):
    """Its `config.json`, which has the fields of a decoder all the same."""

    has_decoder: ClassVar[bool] = False
