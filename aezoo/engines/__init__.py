"""Models outside of Keras: exported graphs, and a light engine that runs them."""
