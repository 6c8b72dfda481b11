"""All metrics, one module per kind; importing this package defines them."""

# In the order in which metrics are listed.
# isort: off
from aezoo.evaluation.metrics import reconstruction
from aezoo.evaluation.metrics import likelihood
from aezoo.evaluation.metrics import latent
from aezoo.evaluation.metrics import samples
from aezoo.evaluation.metrics import disentanglement
from aezoo.evaluation.metrics import representation

# isort: on
__all__ = [
    "disentanglement",
    "latent",
    "likelihood",
    "reconstruction",
    "representation",
    "samples",
]
