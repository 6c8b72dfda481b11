"""A builder for each dataset that TFDS does not have."""
