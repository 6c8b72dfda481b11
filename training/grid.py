"""The grid: one network, one budget, one optimiser, and only the objective changes.

Recipes of the grid take these, so that any two of its rows can be compared.
"""

# Three strided 3x3 convolutions, a dense layer, and their mirror; 0.17 M parameters.
NETWORK = {
    "filters": (16, 32, 32),
    "strides": (2, 2, 2),
    "hidden_units": (128,),
    "activation": "silu",
    "latent_dim": 16,
}
BUDGET = {"epochs": 12, "batch_size": 128, "learning_rate": 3e-3}
