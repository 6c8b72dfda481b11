"""Exceptions raised by aezoo.

Each one also subclasses the built-in exception that a caller would catch, so
`except ValueError` keeps working for code that does not know aezoo.
"""


class AezooError(Exception):
    """Base class of every exception that aezoo defines."""


class UnknownModelError(AezooError, ValueError):
    """No model, family or dataset of that name."""


class UnknownLayerError(AezooError, ValueError):
    """The encoder of a model has no layer of that name."""


class ManifestError(AezooError, ValueError):
    """The manifest is malformed, or an entry does not fit its file."""


class ChecksumError(AezooError, OSError):
    """A file's bytes differ from what the manifest promises."""


class DiskError(AezooError, OSError):
    """A disk is full or broken, or a folder may not be written."""


class HubError(AezooError, OSError):
    """A file cannot be had from the Hugging Face Hub."""


class UnsafeFileError(AezooError, ValueError):
    """A file could reach outside itself, or a path outside its folder."""


class ConversionError(AezooError, ValueError):
    """A model of another library cannot be converted."""


class ExportError(AezooError, ValueError):
    """A model cannot be exported, or what was exported computes something else."""


class CompressionError(AezooError, ValueError):
    """Compressed bytes are foreign, damaged or incomplete, or of no known model."""


class ExampleFileError(AezooError, ValueError):
    """A file cannot be read as an example of a modality."""


class ImageFileError(ExampleFileError):
    """A file cannot be read as an image."""


class StaleSamplerError(AezooError, RuntimeError):
    """A fitted sampler belongs to other weights than those that the model has."""


class UnsupportedOperationError(AezooError, RuntimeError):
    """The model's family does not define this operation."""


class MissingDependencyError(AezooError, ImportError):
    """An optional package is needed and not installed."""
