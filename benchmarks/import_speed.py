"""A full-size `AutoencoderKL` of diffusers: memory of the import, time of 512 x 512.

    python -m benchmarks.import_speed --reference references/bin/python

`--reference` is an environment with diffusers and torch (see `training/references.py`),
which makes a random model with the configuration of Stable Diffusion 1 (84 million
weights, 335 MB) and is timed beside aezoo, each in fresh processes, in turn. Tiles have
half the size of the image, 256 x 256, and overlap by a quarter. `--memory` stops after
the import; `--size 256` and `--backends tensorflow` are quicker. Prints Markdown.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import (
    machine,
    markdown_table,
    round_robin,
    run_fresh,
    verdict,
)

SIZE = 512
BACKENDS = ["tensorflow", "jax", "torch"]
# Of the file, in memory; and of the time of diffusers.
MEMORY, TIME = 2.2, 1.2
_MAKE = """
import diffusers, json, sys, torch
torch.manual_seed(0)
vae = diffusers.AutoencoderKL(
    block_out_channels=(128, 256, 512, 512),
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    layers_per_block=2,
    sample_size={size},
)
vae.save_pretrained({folder!r})
print(json.dumps(None))
"""
# Memory in bytes: the file's mapped pages count while they are in use.
_IMPORT = """
import json, resource, time
import keras, numpy as np, aezoo
aezoo.create("dense_ae", input_shape=(4, 4, 1), hidden_units=())  # all that is imported
peak = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, start = peak(), time.perf_counter()
vae = aezoo.load({folder!r})
found = {{"load_s": time.perf_counter() - start, "load_bytes": peak() - before}}
"""
_RUN = """
x = np.random.default_rng(0).random((1, {size}, {size}, 3), "float32")
def best(run):
    run()  # compiles
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
found["encode_s"] = best(lambda: vae.encode(x))
z = vae.encode(x)
found["decode_s"] = best(lambda: vae.decode(z))
found["bytes"] = peak()
half = aezoo.create(vae.family, **{{**vae.config, "input_shape": ({tile}, {tile}, 3)}})
half.set_weights(vae.get_weights())
found["encode_tiled_s"] = best(lambda: half.encode_tiled(x, batch_size=1))
found["decode_tiled_s"] = best(lambda: half.decode_tiled(z, batch_size=1))
"""
_PRINT = "print(json.dumps(found))\n"
_REFERENCE = """
import json, resource, time
import diffusers, numpy as np, torch
peak = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, start = peak(), time.perf_counter()
vae = diffusers.AutoencoderKL.from_pretrained({folder!r}).eval()
found = {{"load_s": time.perf_counter() - start, "load_bytes": peak() - before}}
x = torch.rand((1, 3, {size}, {size})) * 2 - 1
def best(run):
    with torch.no_grad():
        run()
        start = time.perf_counter()
        run()
    return time.perf_counter() - start
found["encode_s"] = best(lambda: vae.encode(x).latent_dist.mean)
z = torch.randn((1, 4, {size} // 8, {size} // 8))
found["decode_s"] = best(lambda: vae.decode(z).sample)
found["bytes"] = peak()
vae.enable_tiling()
vae.tile_sample_min_size, vae.tile_latent_min_size = {tile}, {tile} // 8
found["encode_tiled_s"] = best(lambda: vae.encode(x).latent_dist.mean)
found["decode_tiled_s"] = best(lambda: vae.decode(z).sample)
"""
_ROWS = {
    "load_s": "load, s",
    "load_bytes": "memory of loading, MB",
    "encode_s": "encode, s",
    "decode_s": "decode, s",
    "encode_tiled_s": "encode in tiles, s",
    "decode_tiled_s": "decode in tiles, s",
    "bytes": "peak of the process, MB",
}


def _median(results: list[dict[str, float]], key: str) -> float:
    return statistics.median(result[key] for result in results)


def _cell(results: list[dict[str, float]], key: str) -> str:
    values = [result[key] for result in results if key in result]
    if not values:
        return ""
    scale, digits = (1e6, 0) if key.endswith("bytes") else (1.0, 2)
    return f"{statistics.median(values) / scale:.{digits}f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="an environment with aezoo")
    parser.add_argument("--reference", required=True, help="one with diffusers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of a side")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--memory", action="store_true", help="only load")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = options.size
        values = {"folder": folder, "size": size, "tile": size // 2}
        run_fresh([options.reference, "-c", _MAKE.format(**values)])
        (weights,) = Path(folder).glob("*.safetensors")
        num_bytes = weights.stat().st_size
        ours = _IMPORT + ("" if options.memory else _RUN) + _PRINT
        runners: dict[str, Any] = {
            f"aezoo on {backend}": (
                [options.python, "-c", ours.format(**values)],
                {"KERAS_BACKEND": backend},
            )
            for backend in options.backends
        }
        if not options.memory:
            code = (_REFERENCE + _PRINT).format(**values)
            runners["diffusers"] = ([options.reference, "-c", code], {})
        results = round_robin(runners, options.rounds)
    rows = [
        [label, *(_cell(found, key) for found in results.values())]
        for key, label in _ROWS.items()
    ]
    told = f"the file has {num_bytes / 1e6:.0f} MB, images {size} x {size}"
    print(f"{machine()}; {told}.\n")
    print(markdown_table(["", *results], [row for row in rows if any(row[1:])]))
    print()
    for runner, found in results.items():
        if runner == "diffusers":
            continue
        share = _median(found, "load_bytes") / num_bytes
        print(verdict(f"{runner}, memory of the file", share, MEMORY, at_least=False))
        if options.memory:
            continue
        for key in ("encode_s", "decode_s", "encode_tiled_s", "decode_tiled_s"):
            share = _median(found, key) / _median(results["diffusers"], key)
            label = f"{runner}, {_ROWS[key].removesuffix(', s')}, of diffusers' time"
            print(verdict(label, share, TIME, at_least=False))


if __name__ == "__main__":
    main()
