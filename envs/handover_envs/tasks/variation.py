"""Random variation of demonstrations: small draws from the episode's own generator."""

import numpy as np

from handover_envs.tasks.waypoints import Point

_STILL_S = 6.5  # both experts have finished by then


class Variation:
    """Draws of one episode; the same seed and the same order of calls give the same draws."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def seconds(self, usual: float) -> float:
        """A duration within 8 % of the usual one."""
        return usual * self._rng.uniform(0.92, 1.08)

    def degrees(self, usual: float, spread: float) -> float:
        """An angle within `spread` degrees of the usual one, in rad."""
        return float(np.radians(usual + self._rng.uniform(-spread, spread)))

    def point(self, usual: Point, spread: Point) -> Point:
        """A point within a box of half-sizes `spread` (m) about the usual one."""
        x, y, z = np.add(usual, self._rng.uniform(-1, 1, 3) * spread).tolist()
        return x, y, z

    def near(self, point: Point, offset: Point, spread: float) -> Point:
        """A point within `spread` (m) along each axis of one that lies at an offset."""
        x, y, z = np.add(point, offset).tolist()
        return self.point((x, y, z), (spread, spread, spread))

    def tremor(self, time_s: np.ndarray) -> np.ndarray:
        """A slow sway of the 12 arm joints, at most 4 mrad: (n,) -> (n, 12) float64, 0 at 0 s.

        It fades away while the hands come to rest, so that they hold still at the end.
        """
        time_s = time_s[:, None]
        rates_hz = self._rng.uniform(0.3, 1.2, 12)
        phases = self._rng.uniform(0, 2 * np.pi, 12)
        sway = np.sin(2 * np.pi * rates_hz * time_s + phases) - np.sin(phases)
        fading = np.clip(_STILL_S - time_s, 0, 1)
        return self._rng.uniform(0, 0.002, 12) * sway * fading
