"""Turk & Pentland (1991), https://doi.org/10.1162/jocn.1991.3.1.71.

    python -m training.train linear_ae_orl_faces_z3 --bundle

Measured: 170 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.0147.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="linear_ae",
    config={"input_shape": (64, 56, 1), "latent_dim": 3},
    description="Eigenfaces: 3 principal components of the ORL faces.",
    method="closed_form",
    metrics=("mse", "mae"),
    paper="https://doi.org/10.1162/jocn.1991.3.1.71",
    dataset="orl_faces",
)
