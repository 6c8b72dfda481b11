"""Images: what they are, their files, tiles, corruptions, and drawn digits."""

from aezoo.modalities.image.modality import Image

__all__ = ["Image"]
