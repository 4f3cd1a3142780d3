"""Suites of rollouts on the same seeds: worlds changed along axes, and latencies."""
