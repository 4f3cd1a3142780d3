"""The figures of the original open-loop experiment, which ours stand beside.

They are over all 29 slots, and its evaluated episodes were in its training set.
"""

ORIGINAL = {
    "mse": 0.000662,
    "mae": 0.013243,
    "success_at": {"0.05": 0.646, "0.10": 0.906, "0.20": 0.986},
    "accuracy_at": {"0.10": 0.986, "0.20": 0.998},  # @0.05 was not given
    "drift": 2.2e-5,
}
