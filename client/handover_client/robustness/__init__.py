"""Robustness of a policy: the same seeds in worlds changed along axes, beside a matched control."""
