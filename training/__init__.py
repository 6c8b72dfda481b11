"""Scripts that make aezoo's weights: data, recipes, training, export."""
