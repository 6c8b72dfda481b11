"""What computes the metrics of `aezoo.metrics`, one module per kind."""
