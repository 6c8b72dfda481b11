"""The patch autoencoder: what its code holds, and where its filters come from."""

import numpy as np
import pytest
from keras import ops

from aezoo.models.families import new_model
from aezoo.models.patch_ae import PATCHES

CONFIG = {"input_shape": (12, 12, 3), "num_filters": 5, "patch_size": 4, "grid": 3}


def striped_images(count: int = 64, seed: int = 0) -> np.ndarray:
    """Stripes along either axis, of random phase, width and contrast."""
    random = np.random.default_rng(seed)
    place = np.arange(12)
    images = np.empty((count, 12, 12, 3), "uint8")
    for image in images:
        wave = np.sin(place * random.uniform(0.8, 2.5) + random.uniform(0, 6))
        wave = np.broadcast_to(
            wave if random.random() < 0.5 else wave[:, None], (12, 12)
        )
        image[:] = 127 + random.uniform(20, 120) * wave[..., None]
    return images


def test_a_code_holds_features_contrast_and_colour_of_each_cell() -> None:
    model = new_model("patch_ae", **CONFIG)
    images = np.full((1, 12, 12, 3), (0.2, 0.4, 0.6), "float32")
    images[:, 6:] = (0.8, 0.8, 0.8)
    z = model.encode(images)
    assert z.shape == (1, *model.latent_shape) == (1, 3, 3, 5 + 1 + 3)
    np.testing.assert_allclose(z[0, 0, 0, 6:], (0.2, 0.4, 0.6), atol=1e-5)
    np.testing.assert_allclose(z[0, 2, 2, 6:], 0.8, atol=1e-5)
    # The patches of the first cell see three colours, those of the middle an edge.
    assert z[0, 1, 0, 5] > z[0, 0, 0, 5] > z[0, 2, 0, 5]
    assert (z[..., :5] >= 0).all()


def test_features_do_not_change_with_brightness_and_hardly_with_contrast() -> None:
    model = new_model("patch_ae", **CONFIG)
    model.adapt(striped_images())
    images = striped_images(8, seed=1).astype("float32") / 255 * 0.5
    darker = model.encode(images)
    brighter = model.encode(images + 0.3)
    np.testing.assert_allclose(brighter[..., :6], darker[..., :6], atol=2e-4)
    np.testing.assert_allclose(brighter[..., 6:], darker[..., 6:] + 0.3, atol=1e-4)
    strong = striped_images(8, seed=1).astype("float32") / 255
    weak = 0.5 + (strong - 0.5) / 1.25
    ratio = model.encode(strong)[..., :5].sum() / model.encode(weak)[..., :5].sum()
    assert 1.0 < ratio < 1.2  # 1.25 if contrast came through


def test_filters_start_as_what_patches_cluster_around() -> None:
    model = new_model("patch_ae", **CONFIG)
    before = striped_images(8, seed=1)
    model.ensure_built()
    random_kernel = ops.convert_to_numpy(model.encoder.patches.kernel)
    model.adapt(striped_images(), seed=0)
    kernel = ops.convert_to_numpy(model.encoder.patches.kernel)
    assert np.abs(kernel - random_kernel).max() > 0.1
    # Stripes are grey: so are the filters, and each is along one axis.
    np.testing.assert_allclose(
        kernel, kernel.mean(2, keepdims=True).repeat(3, 2), atol=1e-2
    )
    across = kernel.mean(axis=(0, 2)).std(axis=0), kernel.mean(axis=(1, 2)).std(axis=0)
    assert (np.maximum(*across) > 3 * np.minimum(*across)).mean() > 0.5
    first = model.encode(before)
    model.adapt(striped_images(), seed=0)
    np.testing.assert_array_equal(model.encode(before), first)
    model.adapt(striped_images(), seed=1)
    assert np.abs(model.encode(before) - first).max() > 1e-4


def test_flat_images_have_no_patches_to_start_from() -> None:
    flat = np.full((4, 12, 12, 3), 128, "uint8")
    with pytest.raises(ValueError, match=rf"not flat. Received: 0 of {PATCHES} drawn"):
        new_model("patch_ae", **CONFIG).adapt(flat)


def test_the_closed_form_is_the_best_linear_decoder() -> None:
    images = striped_images(300)
    x = images.astype("float32") / 255
    model = new_model("patch_ae", **CONFIG).fit_closed_form(images)
    best = float(((model.reconstruct(x) - x) ** 2).mean())
    assert best < 0.85 * x.var()
    kernel, bias = model.decoder.to_cells.get_weights()
    random = np.random.default_rng(0)
    for _ in range(3):
        moved = [w + 0.02 * random.normal(size=w.shape) for w in (kernel, bias)]
        model.decoder.to_cells.set_weights(moved)
        assert ((model.reconstruct(x) - x) ** 2).mean() > best


def test_a_denoising_decoder_is_better_at_noise_and_worse_without() -> None:
    images, fresh = striped_images(300), striped_images(50, seed=1)
    x = fresh.astype("float32") / 255
    noisy = np.clip(x + np.random.default_rng(0).normal(0, 0.3, x.shape), 0, 1)

    def errors(**options: object) -> tuple[float, float]:
        model = new_model("patch_ae", **CONFIG, **options).fit_closed_form(images)
        return tuple(
            float(((model.reconstruct(seen.astype("float32")) - x) ** 2).mean())
            for seen in (x, noisy)
        )

    plain = errors()
    denoising = errors(corruption="gaussian", corruption_level=0.3)
    assert denoising[1] < 0.9 * plain[1]
    assert denoising[0] > plain[0]


def test_the_closed_form_needs_a_linear_output() -> None:
    model = new_model("patch_ae", **CONFIG, output_activation="sigmoid")
    with pytest.raises(ValueError, match=r"Received: output_activation='sigmoid'"):
        model.fit_closed_form(striped_images())


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"grid": 7}, "grid=7, patch_size=4"),
        ({"patch_size": 13}, "grid=3, patch_size=13"),
        ({"grid": 8, "patch_size": 6}, "grid=8, patch_size=6"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(changes: dict, received: str) -> None:
    with pytest.raises(
        ValueError, match=rf"must fill `grid` cells.*Received: {received}"
    ):
        new_model("patch_ae", **{**CONFIG, **changes})


@pytest.mark.parametrize("argument", ["num_filters", "patch_size", "grid"])
def test_sizes_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        new_model("patch_ae", **{**CONFIG, argument: 0})
