"""Training of the networks: the losses, the engine and a recipe per method."""
