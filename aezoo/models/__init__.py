"""One family a file; `_base` holds the API that all of them share.

`import aezoo.models` registers all families with Keras, so that
`keras.saving.load_model` finds their classes.
"""

import importlib

from aezoo import registry

for _family in registry.list_families():
    importlib.import_module(f"aezoo.models.{_family}")
