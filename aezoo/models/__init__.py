"""One objective a file; `autoencoder` holds what all of them share.

Importing this package registers all families with Keras, so that
`keras.saving.load_model` finds their classes; `aezoo.utils.keras_hook` sees to it.
"""

from aezoo import registry

for _family in registry.list_families():
    registry.find_family(_family)
