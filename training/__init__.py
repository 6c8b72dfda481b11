"""Scripts that make aezoo's weights: data, recipes, training, export."""

import time

# Time budgets count from here, before imports that take seconds.
STARTED = time.monotonic()
