"""Training speed of `fit` against a bare TensorFlow loop and pythae's trainer.

Each runner trains the same network (parameter counts are compared) with batches of
128 on images in memory, in a fresh process, one after the other in a round robin.
Prints Markdown.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import (
    machine,
    markdown_table,
    median_ratio,
    round_robin,
    synthetic_images,
    verdict,
)

BATCH_SIZE = 128
IMAGES = {"conv": 25_600, "dense": 60_000}
NETWORKS = {
    "conv": (
        "conv_vae",
        {
            "filters": (32, 64),
            "strides": (2, 2),
            "hidden_units": (256,),
            "upsampling": "transposed_conv",
            "latent_dim": 16,
        },
    ),
    "dense": ("dense_vae", {"hidden_units": (400,), "latent_dim": 20}),
}
FIT = "aezoo `fit`"
# Runner: (optimiser, steps per execution, in one compiled loop).
FIT_RUNNERS = {
    FIT: ("aezoo", 1, True),
    "aezoo `fit`, Keras's loop, 64 steps per execution": ("aezoo", 64, False),
    "aezoo `fit`, Keras's loop, one step per execution": ("aezoo", 1, False),
    "aezoo `fit`, Keras's Adam": ("keras", 1, True),
}
BARE_RUNNERS = {
    "bare TensorFlow loop, fused Adam": "fused",
    "bare TensorFlow loop, Keras's Adam": "keras",
}
PYTHAE = "pythae 0.1.2 `BaseTrainer`"


def run_fit(
    network: str,
    optimizer: str,
    steps_per_execution: int,
    in_memory: bool,
    images: int,
    epochs: int,
) -> dict[str, Any]:
    """Images per second of each epoch of our `fit`, after a warm-up epoch."""
    import keras

    import aezoo
    from aezoo.nn.optimizers import Adam

    marks = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            marks.append(time.perf_counter())

        def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
            marks.append(time.perf_counter())

    family, config = NETWORKS[network]
    model = aezoo.create(family, **config)
    adam = Adam if optimizer == "aezoo" else keras.optimizers.Adam
    model.compile(adam(1e-3), steps_per_execution=steps_per_execution)
    history = model.fit(
        synthetic_images(images),
        batch_size=BATCH_SIZE,
        epochs=epochs + 1,
        verbose=0,
        callbacks=[Clock()],
        in_memory=in_memory,
    )
    return {
        "params": model.count_params(),
        "loss": history.history["loss"][-1],
        "rates": _rates(images, marks[1:]),
    }


def run_bare(network: str, optimizer: str, images: int, epochs: int) -> dict[str, Any]:
    """The same for a loop written with TensorFlow's own operations and no Keras layer.

    The images are one tensor in memory; a whole epoch is one call of one graph, which
    shuffles, gathers batches and steps.
    """
    import keras
    import tensorflow as tf

    images -= images % BATCH_SIZE
    x = tf.constant(synthetic_images(images))
    forward, variables = _bare_network(network)
    step = _bare_fused_step if optimizer == "fused" else _bare_keras_step
    if optimizer == "keras":
        keras_adam = keras.optimizers.Adam(1e-3)
        keras_adam.build(variables)
        apply = step(variables, keras_adam)
    else:
        apply = step(variables)

    @tf.function
    def epoch() -> tf.Tensor:
        order = tf.reshape(
            tf.random.shuffle(tf.range(images)), (images // BATCH_SIZE, BATCH_SIZE)
        )
        total = 0.0
        for i in tf.range(images // BATCH_SIZE):
            with tf.GradientTape() as tape:
                loss = forward(tf.gather(x, order[i]))
            apply(tape.gradient(loss, variables))
            total += loss
        return total / tf.cast(images // BATCH_SIZE, "float32")

    epoch()
    marks = [time.perf_counter()]
    for _ in range(epochs):
        loss = float(epoch())
        marks.append(time.perf_counter())
    return {
        "params": sum(int(tf.size(v)) for v in variables),
        "loss": loss,
        "rates": _rates(images, marks),
    }


def _bare_network(network: str) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    variables = []
    glorot = tf.keras.initializers.GlorotUniform(seed=0)

    def weights(*shape: int, bias: int | None = None) -> tuple[Any, Any]:
        kernel = tf.Variable(glorot(shape))
        variables.extend([kernel, tf.Variable(tf.zeros(bias or shape[-1]))])
        return tuple(variables[-2:])

    def dense(x: Any, layer: tuple[Any, Any]) -> Any:
        return tf.nn.bias_add(tf.matmul(x, layer[0]), layer[1])

    def up(x: Any, layer: tuple[Any, Any], size: int, channels: int) -> Any:
        shape = (tf.shape(x)[0], size, size, channels)
        return tf.nn.bias_add(tf.nn.conv2d_transpose(x, layer[0], shape, 2), layer[1])

    if network == "conv":
        conv_1, conv_2 = weights(3, 3, 1, 32), weights(3, 3, 32, 64)
        hidden = weights(3136, 256)
        mean, log_var = weights(256, 16), weights(256, 16)
        hidden_out, to_map = weights(16, 256), weights(256, 3136)
        up_1, up_2 = weights(3, 3, 32, 64, bias=32), weights(3, 3, 1, 32, bias=1)

        def encode(x: Any) -> Any:
            for kernel, bias in (conv_1, conv_2):
                x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME"), bias))
            return tf.nn.relu(dense(tf.reshape(x, (-1, 3136)), hidden))

        def decode(z: Any) -> Any:
            h = tf.nn.relu(dense(tf.nn.relu(dense(z, hidden_out)), to_map))
            h = tf.nn.relu(up(tf.reshape(h, (-1, 7, 7, 64)), up_1, 14, 32))
            return up(h, up_2, 28, 1)
    else:
        hidden = weights(784, 400)
        mean, log_var = weights(400, 20), weights(400, 20)
        hidden_out, pixels = weights(20, 400), weights(400, 784)

        def encode(x: Any) -> Any:
            return tf.nn.relu(dense(tf.reshape(x, (-1, 784)), hidden))

        def decode(z: Any) -> Any:
            h = dense(tf.nn.relu(dense(z, hidden_out)), pixels)
            return tf.reshape(h, (-1, 28, 28, 1))

    def forward(x: Any) -> Any:
        h = encode(x)
        z_mean, z_log_var = dense(h, mean), dense(h, log_var)
        noise = tf.random.normal(tf.shape(z_mean))
        logits = decode(z_mean + tf.exp(0.5 * z_log_var) * noise)
        nll = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
        kl = 0.5 * (tf.square(z_mean) + tf.math.expm1(z_log_var) - z_log_var)
        return tf.reduce_mean(tf.reduce_sum(nll, (1, 2, 3)) + tf.reduce_sum(kl, 1))

    return forward, variables


def _bare_fused_step(variables: list[Any]) -> Any:
    import tensorflow as tf

    slots = [(tf.Variable(v * 0.0), tf.Variable(v * 0.0)) for v in variables]
    steps = tf.Variable(0.0)

    def apply(gradients: list[Any]) -> None:
        steps.assign_add(1.0)
        powers = tf.pow(0.9, steps), tf.pow(0.999, steps)
        for v, (m, s), g in zip(variables, slots, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=v.handle,
                m=m.handle,
                v=s.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=1e-3,
                beta1=0.9,
                beta2=0.999,
                epsilon=1e-7,
                grad=g,
            )

    return apply


def _bare_keras_step(variables: list[Any], optimizer: Any) -> Any:
    return lambda gradients: optimizer.apply_gradients(
        zip(gradients, variables, strict=True)
    )


def _rates(images: int, marks: list[float]) -> list[float]:
    return [images / (end - start) for start, end in itertools.pairwise(marks)]


def run_child(args: argparse.Namespace) -> dict[str, Any]:
    """One runner in this process."""
    if args.runner in FIT_RUNNERS:
        return run_fit(
            args.network, *FIT_RUNNERS[args.runner], args.images, args.epochs
        )
    return run_bare(args.network, BARE_RUNNERS[args.runner], args.images, args.epochs)


def report(network: str, results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: the table of one network, then its targets."""
    params = {r["params"] for runs in results.values() for r in runs}
    if len(params) != 1:
        sys.exit(f"The runners do not train the same network: {params} parameters.")
    rates = {
        name: [statistics.median(r["rates"]) for r in runs]
        for name, runs in results.items()
    }
    bare = [max(pair) for pair in zip(*(rates[n] for n in BARE_RUNNERS), strict=True)]
    peer = rates.get(PYTHAE)
    rows = [
        [
            name,
            f"{statistics.median(values):,.0f}",
            f"{median_ratio(values, bare):.2f}",
            f"{median_ratio(values, peer):.2f}" if peer else "-",
        ]
        for name, values in rates.items()
    ]
    lines = [
        f"### {network} VAE, {params.pop():,} parameters, batch {BATCH_SIZE}",
        "",
        markdown_table(["runner", "images/s", "x faster bare loop", "x pythae"], rows),
        "",
        verdict(
            "`fit` / the faster bare loop of the round",
            median_ratio(rates[FIT], bare),
            0.97,
            at_least=True,
        ),
    ]
    if peer:
        asked = {"dense": 2.0, "conv": 1.0}[network]
        lines.append(
            verdict(
                "`fit` / pythae", median_ratio(rates[FIT], peer), asked, at_least=True
            )
        )
    return "\n".join(lines)


def main() -> None:
    """Run all runners in a round robin, or one of them as a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="per epoch (default: by network)")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs")
    parser.add_argument(
        "--pythae-python", type=Path, help="interpreter that has pythae 0.1.2"
    )
    parser.add_argument("--runner", help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.runner:
        print(json.dumps(run_child(args)))
        return
    print(f"## Training speed\n\n{machine()}; medians of {args.rounds} rounds.\n")
    for network in args.networks:
        images = args.images or IMAGES[network]
        size = ["--images", str(images), "--epochs", str(args.epochs)]
        child = [sys.executable, "-m", "benchmarks.training_speed", *size]
        runners: dict[str, Any] = {
            name: ([*child, "--network", network, "--runner", name], {})
            for name in (*FIT_RUNNERS, *BARE_RUNNERS)
        }
        if args.pythae_python:
            peer = [str(args.pythae_python), "-m", "benchmarks.pythae_peer", "train"]
            runners[PYTHAE] = ([*peer, "--network", network, *size], {})
        print(report(network, round_robin(runners, args.rounds)), "\n", flush=True)


if __name__ == "__main__":
    main()
