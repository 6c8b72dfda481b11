"""Trajectories, a network that is told something, the motion VAE, its figures."""

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops
from PIL import Image as Pillow

import aezoo
from aezoo.cli import main
from aezoo.data.datasets import load_dataset
from aezoo.evaluation.metrics import motion as metrics
from aezoo.modalities import Image, Trajectory
from aezoo.modalities.trajectory import SIDE, TrajectoryFileError
from aezoo.models.motion_vae import TINY_MOTION
from aezoo.networks import Motion, NetworkError
from aezoo.networks.base import Latent
from training.data import traffic_futures

PATHS = Trajectory(4)
BRIGHT, DARK = np.full((8, 8, 1), 255, "uint8"), np.zeros((8, 8, 1), "uint8")


def told(n: int) -> dict[str, np.ndarray]:
    return {"image": np.where(np.arange(n)[:, None, None, None] % 2, BRIGHT, DARK)}


def turning(n: int, seed: int = 0) -> np.ndarray:
    """Paths to the right under a bright picture, to either side under a dark one."""
    generator = np.random.default_rng(seed)
    side = np.where(np.arange(n) % 2, 1.0, generator.choice([-1.0, 1.0], n))
    across = side[:, None] * np.arange(1, 5)
    paths = np.stack([across, np.broadcast_to(2.0 * np.arange(1, 5), (n, 4))], -1)
    return (paths + 0.1 * generator.standard_normal(paths.shape)).astype("float32")


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = aezoo.create(
        "motion_vae", **{**TINY_MOTION, "hidden_units": (32,)}, likelihood_scale=0.5
    )
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(turning(1000), told(1000), batch_size=50, epochs=30, verbose=0)
    return model


# --- What a trajectory is -------------------------------------------------------------


def test_examples_are_smooth_and_within_the_limit() -> None:
    x = Trajectory().examples(5)
    assert x.shape == (5, 16, 2)
    np.testing.assert_array_equal(Trajectory().check(x), x)
    np.testing.assert_array_equal(Trajectory().examples(3), x[:3])
    moves = np.linalg.norm(np.diff(x, axis=1), axis=-1)
    np.testing.assert_allclose(moves, moves[:, :1].repeat(15, 1), rtol=0.2)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3, 2)), r"must have shape \(n, 4, 2\): metres"),
        (np.zeros((4, 2)), r"For a single trajectory pass `x\[None\]`"),
        (np.zeros((0, 4, 2)), "is empty"),
        (np.full((1, 4, 2), np.nan), r"finite numbers of metres .* min=nan"),
        (np.full((1, 4, 2), 64.5), "from -64 to 64. Received: min=64.5"),
        (np.full((1, 4, 2), 1j), "must be numbers of metres"),
    ],
)
def test_what_is_no_trajectory_is_refused(x, message) -> None:
    with pytest.raises(ValueError, match=message):
        PATHS.check(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"limit": 0.0}, "limit"),
        ({"extent": (1, 0, 0, 1)}, "left < right"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        Trajectory(**arguments)


def test_what_leaves_the_limit_is_marked_in_graphs_and_cut_in_answers() -> None:
    x = np.zeros((2, 4, 2), "float32")
    x[1, 2, 0] = 65.0
    marked = ops.convert_to_numpy(PATHS.to_model(x))
    assert np.isnan(marked).all(axis=(1, 2)).tolist() == [False, True]
    assert ops.convert_to_numpy(PATHS.from_model(x)).max() == 64.0


def test_files_hold_trajectories_in_metres(tmp_path) -> None:
    x = PATHS.examples(3)
    PATHS.write_many(x, tmp_path / "paths.csv")
    found, note = PATHS.read_many(str(tmp_path / "paths.csv"))
    np.testing.assert_allclose(found, x, atol=1e-3)
    assert note is None
    PATHS.write(x[1], tmp_path / "one.csv")
    np.testing.assert_allclose(PATHS.read(tmp_path / "one.csv")[0], x[1], atol=1e-3)
    for text, message in (
        ("right,ahead\n1,2\n", "trajectories of 4 steps. Received: 1"),
        ("right,ahead\n", "Received: none"),
        ("right,ahead\n" + "900,2\n" * 4, "from -64 to 64"),
        ("a,b\n1,2\n", "columns trajectory, step, right, ahead"),
        ("right,ahead\n1,far\n", "could not convert"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(TrajectoryFileError, match=message):
            PATHS.read(tmp_path / "bad.csv")


def test_paths_are_drawn_over_their_picture_where_they_lead() -> None:
    path = np.zeros((1, 4, 2), "float32")
    path[..., 1] = [8, 16, 24, 32]  # straight ahead
    drawn = PATHS.draw(path, np.zeros((64, 64, 3), "uint8"), [(255, 255, 255)])
    assert drawn.shape == (SIDE, SIDE, 3)
    rows, columns = np.nonzero(drawn[..., 0])
    assert abs(columns.mean() - 128) < 2  # right of -32 to 32 metres
    assert rows.min() <= 64 <= 192 <= rows.max() + 2  # from 0 to 32 m of -16 to 48
    pictures = np.stack([BRIGHT, BRIGHT, DARK])
    sheet = PATHS.preview_given(path.repeat(3, 0), {"image": pictures}, 2).picture
    assert sheet.shape[1] >= 2 * SIDE > sheet.shape[0]  # one tile a picture
    alone = PATHS.preview(path.repeat(3, 0), 3).picture
    assert alone.shape[1] >= 3 * SIDE


# --- Network and family ---------------------------------------------------------------


def test_the_network_looks_at_moves_and_sums_them_up() -> None:
    network = Motion((), filters=(4,), context_units=3)
    latent = Latent(2)
    decoder = network.decoder(PATHS, 2, latent)
    decoder.build((None, 2))
    decoder.moves.bias.assign(np.ones(8, "float32"))
    z = np.zeros((1, 2), "float32")
    np.testing.assert_allclose(decoder(z)[0, :, 0], [1, 2, 3, 4])
    encoder = network.encoder(PATHS, {"z": 2}, latent)
    encoder.build((None, 4, 2))
    np.testing.assert_allclose(encoder.moves(decoder(z))[0], np.ones(8))
    assert aezoo.create("vae", modality=PATHS, network=network).latent_shape == (16,)


def test_conditions_of_any_shape_become_one_vector() -> None:
    network = Motion((8,), patch_size=2, filters=(4, 6), context_units=5)
    context = network.context({"image": Image(8, 6, 1), "past": PATHS})
    context.build()
    pictures = np.zeros((3, 8, 6, 1), "float32")
    parts = {"image": pictures, "past": PATHS.examples(3)}
    assert context(parts).shape == (3, 5)
    other = context({**parts, "past": PATHS.examples(3, seed=1)})
    assert np.any(ops.convert_to_numpy(context(parts) != other))


def test_dropout_is_of_training_alone() -> None:
    network = Motion((8,), filters=(4,), context_units=5, dropout=0.5)
    context = network.context({"image": Image(8, 8, 1)})
    context.build()
    given = {"image": np.random.default_rng(0).random((2, 8, 8, 1), "float32")}
    still = [ops.convert_to_numpy(context(given)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    moved = ops.convert_to_numpy(context(given, training=True))
    assert np.any(moved != still[0])


def test_other_networks_say_that_they_can_be_told_nothing() -> None:
    with pytest.raises(NetworkError, match=r"'dense' cannot be told image .* 'motion'"):
        aezoo.create("motion_vae", network="dense")
    with pytest.raises(ValueError, match="must be a dictionary of modalities by name"):
        aezoo.create("motion_vae", given={})
    with pytest.raises(ValueError, match="`prior` must be one of"):
        aezoo.create("motion_vae", prior="flat")


def test_codes_in_units_of_the_prior_leave_the_bound_as_it_is() -> None:
    keras.utils.set_random_seed(3)
    model = aezoo.create("motion_vae", **TINY_MOTION)
    for head in model.prior_heads.values():  # a prior that depends on the picture
        head.kernel.assign(0.5 * np.random.default_rng(0).standard_normal((8, 3)))
    x, given = turning(6), told(6)
    plain = model.encoder(x, context=model.make_context(given))
    mean, log_var = (
        ops.convert_to_numpy(plain[name]) for name in ("z_mean", "z_log_var")
    )
    prior = map(ops.convert_to_numpy, model.prior_parameters(model.make_context(given)))
    prior_mean, prior_log_var = prior
    spread = np.exp(log_var - prior_log_var)
    apart = np.square(mean - prior_mean) / np.exp(prior_log_var)
    expected = 0.5 * np.sum(prior_log_var - log_var + spread + apart - 1.0, axis=1)
    q = model.posterior(x, given=given)
    np.testing.assert_allclose(q.kl(), expected, rtol=1e-4)
    assert np.ptp(prior_mean, axis=0).max() > 0.01
    # decoding undoes the units: the decoder sees the posterior's own mean
    direct = model.decoder(mean, context=model.make_context(given))
    shown = model.decode(ops.convert_to_numpy(q.mean), given=given)
    np.testing.assert_allclose(shown, ops.convert_to_numpy(direct), atol=1e-4)


def test_a_standard_prior_leaves_codes_alone() -> None:
    model = aezoo.create("motion_vae", **TINY_MOTION, prior="standard")
    assert not model.prior_heads
    names = {weight.path.split("/")[-2] for weight in model.weights}
    assert not any(name.startswith("prior") for name in names)


def test_samples_are_the_futures_of_their_picture(trained) -> None:
    for picture, low, high in ((BRIGHT, 0.9, 1.0), (DARK, 0.2, 0.8)):
        drawn = trained.sample(40, seed=0, given={"image": picture})
        assert drawn.shape == (40, 4, 2)
        np.testing.assert_allclose(drawn[:, -1, 1].mean(), 8.0, atol=1.0)
        assert low <= np.mean(drawn[:, -1, 0] > 0) <= high


# --- What is measured -----------------------------------------------------------------


def test_figures_have_their_closed_form() -> None:
    """One picture, two futures, samples put where they are known."""
    futures = np.zeros((2, 4, 2), "float32")
    futures[1, :, 0] = 10.0
    samples = np.zeros((20, 4, 2), "float32")
    samples[:5, :, 1] = 1.0  # near the first future
    samples[5:, -1, 1] = 4.0  # 1 m from it on average, 4 m at the end
    given = {"image": np.stack([DARK, DARK])}

    class Drawing:
        given = {"image": Image(8, 8, 1)}  # noqa: RUF012

        def sample(self, n, **_):
            return samples[np.arange(n) % 20]

    class Evaluated:
        model, modality, seed, examples = Drawing(), PATHS, 0, futures

        def __init__(self):
            self.given = given

        def __len__(self):
            return 2

        def cached(self, key, compute):  # noqa: ARG002
            return compute()

    def value(name, *arguments):
        return getattr(metrics, name)(Evaluated(), "prior", *arguments).value

    far = np.hypot(10, 1)
    np.testing.assert_allclose(value("best_ade"), (1 + min(far, 10.19)) / 2, atol=0.02)
    np.testing.assert_allclose(value("best_fde"), (1 + far) / 2, rtol=1e-6)
    assert value("futures_covered") == 0.5
    assert value("samples_covered") == 1.0
    assert value("futures_covered_at_the_end") == 0.5
    assert value("samples_covered_at_the_end") == 0.25


def test_displacements_are_means_and_ends() -> None:
    x, y = np.zeros((1, 4, 2)), np.zeros((1, 4, 2))
    y[0, :, 0], y[0, :, 1] = [0, 3, 6, 9], [0, 4, 8, 12]
    assert metrics.displacement(x, y)[0] == 7.5
    assert metrics.final_displacement(x, y)[0] == 15.0


def test_scenes_are_told_apart_by_what_was_told() -> None:
    rows = metrics.rows_by_condition(told(5), 5)
    assert [row.tolist() for row in rows] == [[0, 2, 4], [1, 3]]
    assert [row.tolist() for row in metrics.rows_by_condition({}, 3)] == [[0, 1, 2]]


def test_figures_of_a_model_that_has_learnt(trained) -> None:
    x = turning(80, seed=1)
    report = aezoo.evaluate(trained, (x, told(80)), metrics="all", importance_samples=4)
    assert report["ade"].value < 0.5
    assert report["ade"].unit == "m"
    assert report["best_of_20_fde"].value < 1.5
    assert report["futures_covered"].value > 0.9
    assert report["samples_covered_at_the_end"].value > 0.7
    assert "true futures of one scene" in report["futures_covered"].protocol
    assert report["elbo"].value > -60


# --- From the command line, and data --------------------------------------------------


def test_the_command_line_draws_futures_over_their_picture(trained, tmp_path) -> None:
    folder = aezoo.save(trained, tmp_path / "model")
    Pillow.fromarray(BRIGHT[..., 0]).save(tmp_path / "now.png")
    given = ["--given", f"image={tmp_path / 'now.png'}"]
    run = CliRunner().invoke
    output = tmp_path / "fan.png"
    arguments = ["sample", str(folder), "-n", "20", *given, "-o", str(output)]
    result = run(main, arguments)
    assert result.exit_code == 0, result.output
    with Pillow.open(output) as fan:
        assert max(fan.size) < 2 * SIDE  # all of them in one picture
    paths = tmp_path / "paths.csv"
    result = run(main, ["sample", str(folder), "-n", "3", *given, "-o", str(paths)])
    assert result.exit_code == 0, result.output
    assert len(PATHS.read_many(str(paths))[0]) == 3
    result = run(
        main, ["reconstruct", str(folder), str(paths), *given, "-o", str(output)]
    )
    assert "final displacement" in result.output, result.output
    missing = run(main, ["sample", str(folder), "-o", str(output)])
    assert "must be told image" in missing.output


def test_a_scene_is_a_row_for_each_future(tmp_path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 64, 64, 3), dtype="uint8")
    sheet = images.transpose(1, 0, 2, 3).reshape(64, -1, 3)
    futures = generator.uniform(-20, 20, (3, 2, 16, 2)).astype("float16")
    for split in ("train", "test"):
        Pillow.fromarray(sheet).save(source / f"{split}-00.webp", lossless=True)
        np.savez(
            source / f"{split}-futures.npz", futures=futures, kind=np.array([0, 1, 0])
        )
    result = CliRunner().invoke(
        traffic_futures.main, [str(tmp_path), "--from", str(source)]
    )
    assert "test: 3 scenes" in result.output, result.output
    data = load_dataset("traffic_futures", "test", tmp_path)
    np.testing.assert_array_equal(data.examples, futures.reshape(6, 16, 2))
    np.testing.assert_array_equal(data.given["image"], images[[0, 0, 1, 1, 2, 2]])
    assert data.labels.tolist() == [0, 0, 1, 1, 0, 0]
