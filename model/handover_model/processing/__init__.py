"""From observations to network inputs, and from network outputs to actions."""
