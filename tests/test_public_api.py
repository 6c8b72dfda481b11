"""What `import aezoo` promises, and what it costs."""

import inspect
import subprocess
import sys

import pytest

import aezoo
from aezoo import errors


def test_every_public_name_resolves_and_is_documented() -> None:
    assert len(aezoo.__all__) >= 10
    for name in aezoo.__all__:
        value = getattr(aezoo, name)
        assert isinstance(value, str) or inspect.getdoc(value), name
    assert set(dir(aezoo)) == set(aezoo.__all__)


def test_unknown_attributes_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = aezoo.laod


def test_importing_aezoo_imports_no_heavy_package() -> None:
    code = (
        "import sys, aezoo\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'numpy', 'matplotlib', 'scipy'}\n"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_and_reconstructing_imports_no_optional_package() -> None:
    """Keras takes what it finds installed; aezoo itself needs none of it."""
    code = (
        "import sys\n"
        "for name in ('matplotlib', 'scipy', 'sklearn', 'pandas',\n"
        "             'tensorflow_datasets', 'jsonschema'):\n"
        "    sys.modules[name] = None  # importing it fails\n"
        "import aezoo, numpy as np\n"
        "model = aezoo.load('conv_vae_mnist_z16')\n"
        "x = np.zeros((2, 28, 28, 1), 'uint8')\n"
        "assert model.reconstruct(x).shape == x.shape\n"
        "assert model.sample(2, seed=0).shape == x.shape\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unsupported_backend_is_named() -> None:
    code = "import aezoo; aezoo.create('linear_ae')"
    result = subprocess.run(
        [sys.executable, "-c", "import sys, types\n"
         "import keras\n"
         "keras.backend.backend = lambda: 'numpy'\n" + code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode != 0
    assert (
        "aezoo runs on the Keras backends 'tensorflow', 'jax', 'torch'" in result.stderr
    )


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("UnknownModelError", ValueError),
        ("ManifestError", ValueError),
        ("ChecksumError", OSError),
        ("DiskError", OSError),
        ("UnsafeFileError", ValueError),
        ("ImageFileError", ValueError),
        ("UnsupportedOperationError", RuntimeError),
        ("MissingDependencyError", ImportError),
    ],
)
def test_errors_are_aezoos_and_the_builtin_that_users_catch(
    name: str, builtin: type[Exception]
) -> None:
    error = getattr(errors, name)
    assert issubclass(error, errors.AezooError)
    assert issubclass(error, builtin)
    assert str(error("message")) == "message"


def test_sampling_without_a_prior_says_which_models_can() -> None:
    model = aezoo.load("conv_ae_mnist_z32")
    with pytest.raises(
        errors.UnsupportedOperationError, match=r"list_models\(task='sampling'\)"
    ):
        model.sample(1)
    with pytest.raises(errors.UnsupportedOperationError, match="not a likelihood"):
        model.make_likelihood(None)
