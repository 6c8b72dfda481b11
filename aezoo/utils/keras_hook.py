"""Classes that Keras knows by name after `import aezoo`, in whatever order.

`keras.saving.load_model` finds a class only if its module was imported. `import aezoo`
stays light and imports no Keras, so the families are registered as soon as both are
there: when Keras is imported, or when aezoo is, whichever comes last.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

BACKENDS = ("tensorflow", "jax", "torch")


class _KerasFinder:
    """Finds Keras as Python does, and has the families registered after its import."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if name != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                register_families()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_families() -> None:
    """Import all families, if Keras is there and nothing of aezoo is half imported.

    A module of aezoo that is just importing Keras goes on to import its families
    itself, or the next public name that is used does.
    """
    keras = sys.modules.get("keras")
    if keras is None or not hasattr(keras, "saving"):
        return
    is_busy = any(
        name.startswith("aezoo.") and getattr(module.__spec__, "_initializing", False)
        for name, module in list(sys.modules.items())
    )
    if not is_busy and keras.config.backend() in BACKENDS:
        importlib.import_module("aezoo.models")
        importlib.import_module("aezoo.features.extractor")
        importlib.import_module("aezoo.features.finetuning")


def watch() -> None:
    """Register the families now, or as soon as Keras is imported."""
    if "keras" in sys.modules:
        register_families()
    else:
        sys.meta_path.insert(0, _KerasFinder())
