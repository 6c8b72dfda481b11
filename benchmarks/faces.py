"""Glasses put on and taken off, and faces told from other pictures.

    python -m benchmarks.faces glasses conv_vae_orl_faces linear_ae_orl_faces_z32
    python -m benchmarks.faces patches linear_ae_orl_faces_z3 --photos DIR

Both with `--data-dir DIR`, where `orl_faces` is.

`glasses`: the vector is the mean over the people who are in the training pictures with
and without glasses of what `attribute_vector` says of each. Test pictures without
glasses are edited by plus, those with glasses by minus an amount times the vector; the
amount, one for each side, is that of `AMOUNTS` by which most training pictures change
sides and stay the same person. Two classifiers of real faces judge that, learnt from
the training pictures, whose accuracy on the test pictures is stated: of glasses,
logistic regression on histograms of oriented gradients (Dalal & Triggs, 2005), which
was the best of seven on training pictures that it had not seen; of people, linear
discriminants on 60 principal components (Fisherfaces, Belhumeur et al., 1997).

`patches`: the lecture's experiment on other data. The test faces, and as many patches
of other photographs, are told apart by the larger of two densities: Gaussian mixtures
of faces and of patches, on three components, and on pixels.

The number of Gaussians, 1 to 16, is the best on the last training picture of each
person and on other patches of the training photographs.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import markdown_table

PEOPLE, MIRRORED = 40, 2
AMOUNTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
MIXTURES = (1, 2, 4, 8, 16)


def flat(images: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1], a row for each image."""
    return images.reshape(len(images), -1).astype("float32") / np.float32(255)


def gradients(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients, a row for each image."""
    from skimage.feature import hog

    return np.stack(
        [hog(image[..., 0], orientations=8, cells_per_block=(2, 2)) for image in images]
    )


def classifier_of_glasses(images: np.ndarray, glasses: np.ndarray) -> Any:
    """A function from images to whether each wears glasses, 0 or 1."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
    fitted = make_pipeline(StandardScaler(), regression).fit(gradients(images), glasses)
    return lambda x: fitted.predict(gradients(x))


def classifier_of_people(images: np.ndarray, people: np.ndarray) -> Any:
    """A function from images to the person that each is: nearest in discriminants."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline

    parts = PCA(60, random_state=0), LinearDiscriminantAnalysis()
    fitted = make_pipeline(*parts).fit(flat(images), people)
    return lambda x: fitted.predict(flat(x))


def glasses_vector(model: Any, data: Any) -> np.ndarray:
    """Mean over the people seen with and without glasses of their vectors."""
    import aezoo

    person, glasses = data.factors[:, 0], data.factors[:, 1] == 1
    vectors = [
        aezoo.attribute_vector(
            model,
            data.examples[(person == who) & glasses],
            data.examples[(person == who) & ~glasses],
        )
        for who in np.unique(person)
        if 0 < glasses[person == who].sum() < (person == who).sum()
    ]
    return np.mean(vectors, axis=0)


def percent(values: np.ndarray) -> str:
    """A share in percent, and of how many."""
    return f"{100.0 * values.mean():.0f} ({values.sum()} of {len(values)})"


def glasses(models: dict[str, Any], train: Any, test: Any) -> None:
    """Print what the classifiers say of edited test pictures."""
    wears = classifier_of_glasses(train.examples, train.factors[:, 1])
    who = classifier_of_people(train.examples, train.labels)
    right = wears(test.examples) == test.factors[:, 1]
    known = who(test.examples) == test.labels
    print(f"Real test pictures: glasses {percent(right)} %, people {percent(known)} %.")

    def judged(
        model: Any, data: Any, side: int, vector: np.ndarray, amount: float
    ) -> tuple[np.ndarray, np.ndarray]:
        chosen = data.factors[:, 1] == side
        x = model.edit(data.examples[chosen], vector, amount if side == 0 else -amount)
        return wears(x) == 1 - side, who(x) == data.labels[chosen]

    rows: list[list[Any]] = []
    for name, model in models.items():
        vector = glasses_vector(model, train)
        for side, what in enumerate(("put on", "taken off")):
            share = {
                amount: np.logical_and(*judged(model, train, side, vector, amount))
                for amount in AMOUNTS
            }
            best = max(AMOUNTS, key=lambda amount: share[amount].mean())
            for amount in (0.0, best):
                turned, kept = judged(model, test, side, vector, amount)
                figures = map(percent, (turned, kept, turned & kept))
                rows.append([name, what, amount, *figures])
    head = ["", "glasses", "amount", "turned, %", "same person, %", "both, %"]
    print(markdown_table(head, rows))


def patches_of(folder: Path, count: int, shape: tuple[int, int]) -> np.ndarray:
    """Grey patches of photographs, drawn with a fixed seed: `(count, *shape, 1)`."""
    from PIL import Image

    paths = sorted(folder.glob("*.webp"))
    photos = [np.asarray(Image.open(path).convert("L")) for path in paths]
    draws = np.random.default_rng(0)
    found = []
    for i in range(count):
        photo = photos[i % len(photos)]
        top, left = (
            draws.integers(n - m) for n, m in zip(photo.shape, shape, strict=True)
        )
        found.append(photo[top : top + shape[0], left : left + shape[1], None])
    return np.stack(found)


def patches(model: Any, train: Any, test: Any, photos: Path) -> None:
    """Print how often faces are told from patches of photographs."""
    held_out = PEOPLE * MIRRORED
    shape = model.input_shape[:2]
    others = patches_of(photos / "train", len(train.examples), shape)
    learnt = {"face": train.examples, "patch": others}
    asked = {
        "face": test.examples,
        "patch": patches_of(photos / "kodak", len(test.examples), shape),
    }
    rows = []
    for what, features, kind in (
        (f"{model.latent_shape[0]} components", model.encode, "full"),
        ("pixels", flat, "diag"),
    ):
        known = {name: wide(features(x)) for name, x in learnt.items()}
        early = {name: x[:-held_out] for name, x in known.items()}
        late = {name: x[-held_out:] for name, x in known.items()}
        scores = {n: np.mean([*told(early, late, n, kind).values()]) for n in MIXTURES}
        best = max(MIXTURES, key=lambda n: scores[n])
        unseen = {name: wide(features(x)) for name, x in asked.items()}
        for size in sorted({1, best}):
            right = told(known, unseen, size, kind)
            both = 100.0 * np.mean([share.mean() for share in right.values()])
            rows.append([what, size, *map(percent, right.values()), f"{both:.1f}"])
    head = ["density of", "Gaussians", "faces, %", "patches, %", "mean, %"]
    print(markdown_table(head, rows))


def wide(features: np.ndarray) -> np.ndarray:
    """Features as float64."""
    return np.asarray(features, "float64")


def told(
    learnt: dict[str, np.ndarray], asked: dict[str, np.ndarray], size: int, kind: str
) -> dict[str, np.ndarray]:
    """Which of `asked` have the largest density under the mixture of their own kind.

    Args:
        learnt: Features of each kind, `(n, dims)`.
        asked: The same.
        size: Gaussians in a mixture.
        kind: Their covariances, `"full"` or `"diag"`.
    """
    from sklearn.mixture import GaussianMixture

    densities = {
        name: GaussianMixture(
            size, covariance_type=kind, reg_covar=1e-4, random_state=0
        ).fit(x)
        for name, x in learnt.items()
    }
    right = {}
    for name, x in asked.items():
        scores = {other: d.score_samples(x) for other, d in densities.items()}
        right[name] = scores[name] >= np.max([*scores.values()], axis=0)
    return right


def main() -> None:
    """Print the figures of one of the experiments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", choices=["glasses", "patches"])
    parser.add_argument("names", nargs="+", help="models of `orl_faces`")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="folders `train` and `kodak`")
    args = parser.parse_args()
    import aezoo
    from aezoo.data.datasets import load_dataset

    train = load_dataset("orl_faces", "train", args.data_dir)
    test = load_dataset("orl_faces", "test", args.data_dir)
    models = {name: aezoo.load(name) for name in args.names}
    if args.experiment == "glasses":
        glasses(models, train, test)
        return
    for model in models.values():
        patches(model, train, test, args.photos)


if __name__ == "__main__":
    main()
