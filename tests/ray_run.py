"""A run of the encoder on a two-node Ray cluster, in a process of its own.

`python -m tests.ray_run FOLDER MARKER`: encodes the images of FOLDER. The worker that
first makes the file MARKER kills itself in the middle of a batch. Prints JSON.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

LOOPBACK = "127.0.0.1"
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ENABLE_METRICS_COLLECTION="0",
    RAY_memory_monitor_refresh_ms="0",
    RAY_worker_niceness="0",
    # The name is Ray's; where it is off, a node's own address is the loopback's.
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    # JAX starts faster than TensorFlow.
    KERAS_BACKEND="jax",
)

from aezoo.features.ray import Encoder  # noqa: E402


class MortalEncoder(Encoder):
    """The first process that is to encode dies of it."""

    def __init__(self, marker: str, name: str) -> None:
        super().__init__(name)
        self._marker = Path(marker)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with contextlib.suppress(FileExistsError):
            with self._marker.open("x") as file:
                file.write(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        found = super().__call__(batch)
        return {**found, "pid": np.full(len(batch["path"]), os.getpid())}


def main(folder: str, marker: str, name: str) -> None:
    """Encode, and print rows, nodes and processes."""
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 80_000_000}
    started = time.time()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            **node,
            "node_ip_address": LOOPBACK,
            "include_dashboard": False,
        },
    )
    cluster.add_node(**node, node_ip_address=LOOPBACK)
    ray.init(address=cluster.address, log_to_driver=False, _node_ip_address=LOOPBACK)
    try:
        nodes = [each["NodeManagerAddress"] for each in ray.nodes() if each["Alive"]]
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        images = ray.data.read_images(
            folder, size=(28, 28), mode="L", include_paths=True, override_num_blocks=6
        )
        features = images.map_batches(
            MortalEncoder,
            fn_constructor_kwargs={"marker": marker, "name": name},
            batch_size=8,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        rows = features.take_all()
        found = {
            "nodes": nodes,
            "columns": sorted(rows[0]),
            "paths": [Path(row["path"]).name for row in rows],
            "features": [np.asarray(row["feature"]).tolist() for row in rows],
            "pids": sorted({int(row["pid"]) for row in rows}),
            "seconds": time.time() - started,
        }
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
