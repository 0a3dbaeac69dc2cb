"""Smooth random fields that can be evaluated at any point, so nothing is ever interpolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WaveField:
    """A sum of plane waves with random directions and phases: zero mean, unit variance, about Gaussian.

    Attributes:
        vectors: wave vectors ``(K, 3)`` in radians per unit of the points' coordinates.
        phases: ``(K,)`` in radians.
    """

    vectors: np.ndarray
    phases: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Field values ``(N,)`` at points ``(N, 3)``, ``f(x) = sqrt(2/K) * sum_k cos(k·x + phase_k)``."""
        angles = points.astype(np.float32) @ self.vectors.T.astype(np.float32)
        angles += self.phases.astype(np.float32)
        return np.sqrt(2 / len(self.phases)) * np.cos(angles, out=angles).sum(axis=1)


def random_field(rng: np.random.Generator, wavelengths: tuple[float, float], waves: int) -> WaveField:
    """Draw an isotropic field.

    Args:
        rng: source of randomness.
        wavelengths: shortest and longest wavelength, in the unit of the points (drawn uniformly between them).
        waves: number of plane waves; more waves come closer to a Gaussian field.
    """
    directions = rng.standard_normal((waves, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = rng.uniform(*wavelengths, size=(waves, 1))
    return WaveField(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, waves))
