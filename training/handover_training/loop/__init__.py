"""The training loop: loader, trainer, validation, sharded states, progress."""
