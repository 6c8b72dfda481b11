"""A model as an entry describes it, without its weights."""

from aezoo.manifest import WeightsEntry
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import new_model
from aezoo.nn.structure import without_initialisation
from aezoo.store.bounds import bounded
from aezoo.store.entry import OwnEntry


def unbuilt(entry: WeightsEntry | OwnEntry) -> Autoencoder:
    """The model of an entry; none of its weights exist.

    Args:
        entry: The entry, whose configuration may be anyone's: whatever goes wrong with
            it, no more memory is taken than the weights that the entry states.

    Raises:
        Exception: Of any kind, if the configuration describes no model.
    """
    with bounded(entry.arguments, entry.num_params):
        return new_model(entry.family, **entry.arguments, name=entry.name)


def empty(entry: WeightsEntry | OwnEntry) -> Autoencoder:
    """The model of an entry with zeros as its weights, which are yet to be read.

    Args:
        entry: As in `unbuilt`.

    Raises:
        Exception: As in `unbuilt`.
    """
    with bounded(entry.arguments, entry.num_params):
        model = new_model(entry.family, **entry.arguments, name=entry.name)
        with without_initialisation(model, entry.num_params):
            model.build((None, *model.input_shape))
    return model
