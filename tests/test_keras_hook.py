"""After `import aezoo`, Keras knows the families, whichever came first."""

import os
import subprocess
import sys

import pytest

from aezoo.manifest import entries

KNOWN = (
    "import keras; print(keras.saving.get_registered_object('aezoo>VAE'), "
    "keras.saving.get_registered_object('aezoo>FeatureExtractor'))"
)


def run(code: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, aezoo",
        *(  # other ways to the same imports
            pytest.param(imports, marks=pytest.mark.exhaustive)
            for imports in (
                "import aezoo, keras",
                "import aezoo, tensorflow",
                "import aezoo; aezoo.losses",
                "import aezoo.nn.backend, aezoo",
                "from importlib.util import find_spec; import aezoo; "
                "find_spec('keras')",
            )
        ),
    ],
)
def test_families_are_registered_with_keras(imports: str) -> None:
    if imports.endswith("aezoo.nn.backend, aezoo"):
        imports += "; aezoo.create"  # a module of aezoo alone registers nothing
    result = run(f"{imports}\n{KNOWN}")
    assert "aezoo.models.vae.VAE" in result.stdout, result.stderr
    assert "aezoo.features.extractor.FeatureExtractor" in result.stdout


def test_keras_is_imported_once_and_the_finder_is_gone() -> None:
    code = (
        "import sys, aezoo, keras\n"
        "from importlib import reload\n"
        "print([f for f in sys.meta_path if 'aezoo' in type(f).__module__])\n"
        "print(reload(aezoo) is aezoo)"
    )
    assert run(code).stdout.split() == ["[]", "True"]


def test_other_backends_are_left_in_peace() -> None:
    """A user of another backend may import aezoo, e.g. to list models."""
    code = (
        "import aezoo, keras\n"
        "print(len(aezoo.list_models()), 'aezoo.models' in __import__('sys').modules)"
    )
    result = run(code, KERAS_BACKEND="numpy")
    assert result.stdout.split() == [str(len(entries())), "False"], result.stderr
