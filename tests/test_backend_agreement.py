"""The same weights give the same images on TensorFlow and on JAX."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from aezoo.nn.backend import BACKEND
from tests.draws import image_families, some_of

ROOT = Path(__file__).parent.parent
# Runs on either backend: builds every family, takes the weights from `argv[2]` or puts
# random ones there, and writes what the models answer to `argv[1]`.
SCRIPT = """
    import sys
    from pathlib import Path
    import keras, numpy as np
    import aezoo
    from aezoo.registry import find_family
    from aezoo.nn.distributions import IndexedNoise
    from aezoo.evaluation import METRICS
    from aezoo.evaluation.definition import is_possible

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((5, 7, 9, 3), "float32")
    answers = {"noise": np.asarray(IndexedNoise(3, 2).normal((6, 4)))}
    for family in sys.argv[3:]:
        found = find_family(family)
        config = {**found.tiny, "input_shape": (7, 9, 3)}
        # the network of many families: one stands for them
        kinds = ("resize_conv", "transposed_conv", "subpixel")
        for kind in kinds if family == "conv_ae" else [None]:
            if kind:
                config["upsampling"] = kind
            model = aezoo.create(family, **config)
            name = f"{family}-{kind}"
            path = Path(sys.argv[2]) / f"{name}.weights.h5"
            if path.exists():
                model.load_weights(path)
            else:
                model.set_weights(
                    [w + 0.05 * np.random.default_rng(1).normal(size=w.shape)
                     for w in model.get_weights()])
                model.save_weights(path)
            answers[f"{name}-encode"] = model.encode(x)
            answers[f"{name}-draw"] = np.asarray(model.posterior(x).sample(4))
            answers[f"{name}-reconstruct"] = model.reconstruct(x)
            answers[f"{name}-uint8"] = model.reconstruct((255 * x).astype("uint8"))
            answers[f"{name}-path"] = model.interpolate(x[0], x[1], steps=4)
            if "sampling" in model.TASKS:
                answers[f"{name}-sample"] = model.sample(4, seed=0)
            if "sampling" in model.TASKS and model.has_likelihood:
                answers[f"{name}-noise"] = model.sample(2, seed=0, noise=True)
            # these have every kind of metric between them
            if family in ("conv_vae", "ppca", "vq_vae"):
                names = [m for m, d in METRICS.items()
                         if is_possible(d, model) and not d.needs and d.variant is None
                         and "ssim" not in m]
                report = aezoo.evaluate(model, x, metrics=names, importance_samples=3)
                answers |= {f"{name}-{m}": np.float64(r.value)
                            for m, r in report.items()}
            model.compile()
            y = np.arange(5) % 2 if "labels" in model.given else None
            losses = model.evaluate(x, y, batch_size=2, verbose=0, return_dict=True)
            answers |= {f"{name}-{key}": value for key, value in losses.items()}
    np.savez(sys.argv[1], backend=keras.backend.backend(), **answers)
"""

# A default run takes a few; all others are exhaustive.
CHOSEN = list(some_of(image_families(), at_most=1))
_OTHERS = [name for name in image_families() if name not in CHOSEN]
OTHERS = [_OTHERS[first : first + 6] for first in range(0, len(_OTHERS), 6)]


def answers_of(
    backend: str, folder: Path, families: list[str]
) -> dict[str, np.ndarray]:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(SCRIPT),
            str(folder / f"{backend}.npz"),
            str(folder),
            *families,
        ],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    with np.load(folder / f"{backend}.npz") as arrays:
        answers = dict(arrays)
    assert answers.pop("backend") == backend
    return answers


@pytest.mark.skipif(BACKEND != "tensorflow", reason="starts both backends by itself")
@pytest.mark.parametrize(
    "families",
    [
        pytest.param(CHOSEN, id="some_cases"),
        *(
            pytest.param(names, id=names[0], marks=pytest.mark.exhaustive)
            for names in OTHERS
        ),
    ],
)
def test_backends_agree(tmp_path, families: list[str]) -> None:
    pytest.importorskip("jax", reason="compares TensorFlow with JAX")
    on_tensorflow = answers_of("tensorflow", tmp_path, families)
    on_jax = answers_of("jax", tmp_path, families)
    assert set(on_jax) == set(on_tensorflow)
    assert len(on_jax) > 7 * len(families)
    for name, expected in on_tensorflow.items():
        found = on_jax[name]
        assert found.dtype == expected.dtype
        if found.dtype == np.uint8:  # grey values on the edge may round apart
            np.testing.assert_allclose(found / 255.0, expected / 255.0, atol=1.01 / 255)
        else:
            np.testing.assert_allclose(
                found, expected, rtol=1e-5, atol=2e-5, err_msg=name
            )
