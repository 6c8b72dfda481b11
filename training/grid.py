"""The grid: one network, one budget, one optimiser, and only the objective changes.

Recipes of the grid take these, so that any two of its rows can be compared.
"""

# Three strided 3x3 convolutions, a dense layer, and their mirror; 0.17 M parameters.
CONVOLUTIONS = {
    "filters": (16, 32, 32),
    "strides": (2, 2, 2),
    "hidden_units": (128,),
    "activation": "silu",
}
NETWORK = {**CONVOLUTIONS, "latent_dim": 16}
# The same convolutions, to a map of 7x7 vectors; for quantised codes.
MAP_NETWORK = {"filters": (16, 32, 32), "strides": (2, 2, 1), "activation": "silu"}
BUDGET = {"epochs": 12, "batch_size": 128, "learning_rate": 3e-3}
# Beside the grid, for the best likelihoods: a residual block after each convolution;
# 0.33 M parameters.
RESIDUAL = {
    "filters": (32, 32, 64),
    "strides": (2, 2, 2),
    "hidden_units": (),
    "residual_blocks": 1,
    "latent_dim": 16,
}
