"""One family a file; `_base` holds the API that all of them share.

Importing this package registers all families with Keras, so that
`keras.saving.load_model` finds their classes; `aezoo.utils.keras_hook` sees to it.
"""

import importlib

from aezoo import registry

for _family in registry.list_families():
    importlib.import_module(f"aezoo.models.{_family}")
