"""Training on several devices and in several processes: the losses are those of one."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from aezoo.modalities.image.digits import draw_digits
from aezoo.nn.backend import BACKEND, any_worker, in_cluster, is_chief
from aezoo.training.loop import check_distributable
from aezoo.training.recipe import Recipe, RecipeError

ROOT = Path(__file__).parent.parent
NAME = "dense_ae_mnist_z2"  # its steps have no noise, which differs by device
# The epochs of a run, long enough to be killed in one of them.
EPOCHS = 3


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn digits as a dataset named mnist, in .npz files."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for seed, (split, count) in enumerate({"train": 1024, "test": 64}.items()):
        images, labels = draw_digits(count, seed=seed)
        np.savez(folder / "mnist" / f"{split}.npz", images=images, labels=labels)
    return folder


def start(
    data_dir: Path, out: Path, *options: str, **environment: str
) -> subprocess.Popen:
    command = [
        sys.executable, "-m", "training.train", NAME, "--data-dir", str(data_dir),
        "--out", str(out), "--epochs", str(EPOCHS), *options,
    ]  # fmt: skip
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes: subprocess.Popen) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=250)
        assert process.returncode == 0, errors[-3000:]


def losses_of(out: Path) -> list[float]:
    with (out / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start_workers(data_dir: Path, out: Path) -> list[subprocess.Popen]:
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    job = {"cluster": {"worker": workers}}
    return [
        start(
            data_dir,
            out,
            "--distribute",
            KERAS_BACKEND="tensorflow",
            TF_CONFIG=json.dumps({**job, "task": {"type": "worker", "index": i}}),
        )
        for i in range(2)
    ]


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_a_job_whose_worker_died_goes_on_and_ends_as_on_one_device(
    data_dir: Path, tmp_path: Path
) -> None:
    finish(start(data_dir, tmp_path / "one", KERAS_BACKEND="tensorflow"))

    out = tmp_path / "many"
    chief, worker = start_workers(data_dir, out)
    deadline = time.monotonic() + 200
    while not (out / "checkpoint.npz").is_file():
        assert time.monotonic() < deadline
        assert chief.poll() is None
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    chief.communicate(timeout=250)
    assert chief.returncode != 0
    assert not (out / "export").exists()

    finish(*start_workers(data_dir, out))
    np.testing.assert_allclose(losses_of(out), losses_of(tmp_path / "one"), rtol=1e-4)
    assert (out / "export" / f"{NAME}.weights.h5").is_file()


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_have_the_losses_of_one(
    data_dir: Path, tmp_path: Path, backend: str
) -> None:
    code = """
        import os, sys
        if os.environ["KERAS_BACKEND"] == "tensorflow":
            import tensorflow as tf
            cpu = tf.config.list_physical_devices("CPU")[0]
            two = [tf.config.LogicalDeviceConfiguration()] * 2
            tf.config.set_logical_device_configuration(cpu, two)

            class Mirrored(tf.distribute.MirroredStrategy):
                def __init__(self):  # the default is one CPU
                    super().__init__(["CPU:0", "CPU:1"])

            tf.distribute.MirroredStrategy = Mirrored
        from training.train import main
        main(sys.argv[1:])
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    for name, options in {"one": [], "two": ["--distribute"]}.items():
        arguments = [
            NAME, "--data-dir", str(data_dir), "--out", str(tmp_path / name),
            "--epochs", "2", *options,
        ]  # fmt: skip
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )
    one, two = (losses_of(tmp_path / name) for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-4)


def test_one_process_is_a_cluster_of_its_own() -> None:
    assert is_chief()
    assert not in_cluster()
    assert [any_worker(flag) for flag in (False, True)] == [False, True]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX takes these recipes")
@pytest.mark.parametrize(
    "fields", [{"skip_gradients_above": 9.0}, {"gradient_accumulation_steps": 2}]
)
def test_what_tensorflow_cannot_distribute_is_refused(fields: dict) -> None:
    plain = Recipe(
        family="dense_ae", config={}, description="d", paper="p", metrics=("mse",)
    )
    check_distributable(plain)
    with pytest.raises(RecipeError, match=r"needs a recipe without.*KERAS_BACKEND=jax"):
        check_distributable(plain.with_overrides(**fields))
