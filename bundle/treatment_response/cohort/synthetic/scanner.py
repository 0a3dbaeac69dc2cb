"""The two scanners: voxels, obliquity, intensity scale, noise; and what they do to a fine image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from treatment_response.cohort.synthetic.simulate import Session, rotation_about_axes

FINE_MM = 0.5
BLUR_VOXELS = 0.35
FIELD_OF_VIEW_MM = (164.0, 196.0, 152.0)
FOLLOW_UP_THICKNESS_MM = 2.0
CENTRE_ABOVE_HEAD_MM = 6.0


@dataclass(frozen=True)
class Scanner:
    """One MR scanner.

    Attributes:
        voxel_mm: in-plane pixel and slice thickness ``(3,)`` of the contrast series.
        tilt_degrees: rotation of the slices about the right-left, front-back and up-down axis.
        white_matter: stored intensity of white matter.
        noise: SD of the Gaussian noise in both channels, relative to white matter.
        bias: strength of the smooth bias field.
        manufacturer, model: as its DICOM says.
    """

    voxel_mm: tuple[float, float, float]
    tilt_degrees: tuple[float, float, float]
    white_matter: float
    noise: float
    bias: float
    manufacturer: str
    model: str


SCANNERS = {
    "A": Scanner((1.0, 1.0, 1.5), (0.0, 0.0, 0.0), 640.0, 0.030, 0.10, "SYNTHETIC IMAGING", "Axial 1.5T"),
    "B": Scanner((0.9, 0.9, 1.6), (12.0, 3.0, 0.0), 1650.0, 0.025, 0.16, "SYNTHETIC RESONANCE", "Oblique 3T"),
}


@dataclass(frozen=True)
class Grid:
    """A series' voxel grid: shape ``(I, J, K)`` and affine to scanner RAS mm, axes as DICOM has them."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def voxel_mm(self) -> np.ndarray:
        """Voxel size ``(3,)`` in mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def to_world(self, index: np.ndarray) -> np.ndarray:
        """RAS mm ``(N, 3)`` of fractional voxel indices ``(N, 3)``."""
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world: np.ndarray) -> np.ndarray:
        """Fractional voxel indices ``(N, 3)`` of RAS mm points ``(N, 3)``."""
        return (world - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T


def session_grid(scanner: Scanner, session: Session) -> Grid:
    """The grid on which a session is scanned: centred near the head, follow-up in thicker slices.

    Columns run to the patient's left, rows to the back, slices upward, all turned by the scanner's tilt.
    """
    in_plane, _, thickness = scanner.voxel_mm
    if not session.contrast:
        thickness = FOLLOW_UP_THICKNESS_MM
    axes = rotation_about_axes(np.deg2rad(scanner.tilt_degrees)) @ np.diag([-in_plane, -in_plane, thickness])
    extra = 1 + 0.15 * (max(scanner.tilt_degrees) > 0)
    sizes = np.array(FIELD_OF_VIEW_MM) * (1, extra, 1) / (in_plane, in_plane, thickness)
    shape = tuple(int(size) for size in 2 * np.ceil(sizes / 2))
    affine = np.eye(4)
    affine[:3, :3] = axes
    # The technician centres the box by eye, to the millimetre.
    centre = np.round(session.shift + np.array([0, 0, CENTRE_ABOVE_HEAD_MM]))
    affine[:3, 3] = centre - axes @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def fine_factors(voxel_mm: np.ndarray) -> np.ndarray:
    """How many fine samples stand in one voxel along each axis, ``(3,)`` integers ≥ 2."""
    return np.maximum(np.rint(voxel_mm / FINE_MM).astype(int), 2)


def average_blocks(fine: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Mean over each voxel's fine samples: a box of one voxel, the profile of an ideal slice."""
    i, j, k = (size // factor for size, factor in zip(fine.shape, factors, strict=True))
    return fine.reshape(i, factors[0], j, factors[1], k, factors[2]).mean(axis=(1, 3, 5))


def scan(fine: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """What the scanner sees of a fine image: point-spread (Gaussian, then a one-voxel box) and sampling."""
    return average_blocks(gaussian_filter(fine, BLUR_VOXELS * factors, mode="nearest"), factors)


def rician(signal: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of a signal with Gaussian noise in both channels, float32."""
    real = rng.standard_normal(signal.shape, dtype=np.float32)
    real *= sd
    real += signal
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary *= sd
    return np.hypot(real, imaginary, out=real)


def bias_field(shape: tuple[int, int, int], strength: float, rng: np.random.Generator) -> list[np.ndarray]:
    """A smooth multiplicative field as three factors that broadcast to ``(I, J, K)``; ``strength`` is about its SD."""
    factors = []
    for axis, size in enumerate(shape):
        position = np.linspace(-1, 1, size, dtype=np.float32)
        slope, bend = strength * rng.standard_normal(2)
        profile = np.exp(slope * position + bend * (position**2 - 1 / 3))
        factors.append(profile.astype(np.float32).reshape([-1 if axis == i else 1 for i in range(3)]))
    return factors
