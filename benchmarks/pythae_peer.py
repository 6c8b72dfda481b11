"""pythae 0.1.2 on the same networks, in its own environment (see README.md).

`train` times its own trainer, `save` writes a model, `load` times a cold start.
Prints one line of JSON. Imports no Keras and no aezoo.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import seconds_since_start, synthetic_images


def build(network: str) -> Any:
    """The `conv` or `dense` VAE of `training_speed.py`, in torch and pythae."""
    import torch
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from torch import nn

    def conv_body() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 256),
            nn.ReLU(),
        )

    def conv_pixels() -> nn.Module:
        def up(channels_in: int, channels_out: int) -> nn.Module:
            return nn.ConvTranspose2d(
                channels_in, channels_out, 3, stride=2, padding=1, output_padding=1
            )

        return nn.Sequential(
            nn.Linear(16, 256),
            nn.ReLU(),
            nn.Linear(256, 64 * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (64, 7, 7)),
            up(64, 32),
            nn.ReLU(),
            up(32, 1),
            nn.Sigmoid(),
        )

    def dense_body() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU())

    def dense_pixels() -> nn.Module:
        return nn.Sequential(
            nn.Linear(20, 400),
            nn.ReLU(),
            nn.Linear(400, 784),
            nn.Sigmoid(),
            nn.Unflatten(1, (1, 28, 28)),
        )

    is_conv = network == "conv"
    width, latent_dim = (256, 16) if is_conv else (400, 20)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = conv_body() if is_conv else dense_body()
            self.mean = nn.Linear(width, latent_dim)
            self.log_var = nn.Linear(width, latent_dim)

        def forward(self, x: torch.Tensor) -> ModelOutput:
            h = self.body(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.pixels = conv_pixels() if is_conv else dense_pixels()

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.pixels(z))

    config = VAEConfig(
        input_dim=(1, 28, 28), latent_dim=latent_dim, reconstruction_loss="bce"
    )
    return VAE(config, encoder=Encoder(), decoder=Decoder())


def train(network: str, images: int, epochs: int, batch_size: int) -> dict[str, Any]:
    """Images per second of each epoch of `BaseTrainer.train`, after a warm-up epoch."""
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback
    from torch import from_numpy, zeros

    marks: list[tuple[float, float]] = []

    class Clock(TrainingCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            marks.append((self.start, time.perf_counter()))

    model = build(network)
    x = from_numpy(synthetic_images(images).reshape(-1, 1, 28, 28))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=batch_size,
            num_epochs=epochs + 1,
            learning_rate=1e-3,
            no_cuda=True,
        )
        data = BaseDataset(x, zeros(images))
        trainer = BaseTrainer(model, data, None, config, callbacks=[Clock()])
        trainer.train()
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "rates": [images / (end - start) for start, end in marks[1:]],
    }


def load_and_reconstruct(folder: Path) -> dict[str, Any]:
    """Seconds from the start of the process to the first 16 reconstructions."""
    import torch
    from pythae.models import AutoModel

    model = AutoModel.load_from_folder(str(folder))
    x = torch.from_numpy(synthetic_images(16).reshape(-1, 1, 28, 28))
    with torch.no_grad():
        output = model.eval().reconstruct(x).numpy()
    if not np.isfinite(output).all():
        sys.exit("pythae's reconstruction is not finite")
    return {"seconds": seconds_since_start()}


def main() -> None:
    """Run one of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train_parser = commands.add_parser("train")
    train_parser.add_argument("--network", choices=("conv", "dense"), required=True)
    train_parser.add_argument("--images", type=int, required=True)
    train_parser.add_argument("--epochs", type=int, required=True)
    train_parser.add_argument("--batch-size", type=int, default=128)
    for name in ("save", "load"):
        commands.add_parser(name).add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.command == "train":
        result = train(args.network, args.images, args.epochs, args.batch_size)
    elif args.command == "save":
        build("conv").save(str(args.folder))
        result = {}
    else:
        result = load_and_reconstruct(args.folder)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
