"""Parts without opinions: layers, distributions, losses, optimisers, backends."""
