"""The resection cavity and the enhancing lesion: where they are and what they look like, as functions of position."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from treatment_response.cohort.synthetic.fields import WaveField, random_field
from treatment_response.cohort.synthetic.lesion import SHAPE_RANGE, Shape, random_shape

# Relative T1 signal after contrast agent, white matter 1.
SOLID, RIM, NECROTIC, CAVITY, CAVITY_RIM = 1.55, 1.85, 0.50, 0.36, 1.30
CAVITY_RIM_MM = 1.2
CAVITY_SPREAD = 0.12
SHAPE_SPREAD = (0.26, 0.08)
"""How irregular the lesion's surface is: of a radiation effect at its most typical, and of a recurrence."""
NECROSIS = (0.72, 0.0)
"""Share of the radius that does not enhance, likewise."""
TEXTURE_SD = (0.34, 0.05)
"""SD of the signal inside, relative to white matter, likewise."""
TEXTURE_WAVELENGTHS_MM = (4.5, 8.0)
TEXTURE_WAVES = 40
RIM_WAVELENGTHS_MM = (8.0, 20.0)


@dataclass(frozen=True)
class Region:
    """A star-shaped region.

    Attributes:
        centre: ``(3,)`` head RAS mm.
        radius_mm: radius of the ball of the same volume.
        shape: surface.
    """

    centre: np.ndarray
    radius_mm: float
    shape: Shape

    @property
    def reach_mm(self) -> float:
        """How far the surface can lie from the centre."""
        return self.radius_mm * SHAPE_RANGE[1]

    @property
    def volume_ml(self) -> float:
        """Volume in ml."""
        return 4 / 3 * np.pi * self.radius_mm**3 / 1000

    def outside(self, points: np.ndarray) -> np.ndarray:
        """Distance in mm beyond the surface, along the line from the centre, of head points ``(N, 3)``; < 0 inside."""
        offsets = points - self.centre
        distance = np.linalg.norm(offsets, axis=1)
        directions = offsets / np.maximum(distance, 1e-9)[:, None]
        return distance - self.radius_mm * self.shape.radius(directions)

    def points(self, per_radius: int) -> np.ndarray:
        """Head points ``(N, 3)`` spread evenly over the inside, ``radius / per_radius`` apart along each axis."""
        count = int(np.ceil(SHAPE_RANGE[1] * per_radius))
        axis = (np.arange(-count, count) + 0.5) * self.radius_mm / per_radius
        points = self.centre + np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        return points[self.outside(points) < 0]

    def scaled(self, factor: float) -> Region:
        """The same region, its lengths times ``factor``."""
        return replace(self, radius_mm=self.radius_mm * factor)


@dataclass(frozen=True)
class Lesion:
    """The enhancing lesion at the event.

    Attributes:
        region: where it is.
        solidity: 0 (radiation effect at its most typical) to 1 (recurrence): what shape and texture say.
        brightness: factor on its enhancement; says nothing.
        rim_mm: thickness of the bright rim; says nothing.
        texture: unit-variance field over mm around the centre.
    """

    region: Region
    solidity: float
    brightness: float
    rim_mm: float
    texture: WaveField

    def signal(self, points: np.ndarray) -> np.ndarray:
        """Relative T1 signal after contrast agent at head points ``(N, 3)`` inside."""
        offsets = points - self.region.centre
        outside = self.region.outside(points)
        share = 1 + outside / np.maximum(np.linalg.norm(offsets, axis=1) - outside, 1e-6)
        rim = 1 / (1 + np.exp((-outside - self.rim_mm) / 0.3))
        necrosis = _between(NECROSIS, self.solidity)
        core = 1 / (1 + np.exp((share - necrosis) / 0.05)) if necrosis > 0.1 else 0.0
        enhancing = SOLID + (RIM - SOLID) * rim
        signal = 1 + (enhancing - 1) * self.brightness
        signal += _between(TEXTURE_SD, self.solidity) * self.texture(offsets)
        return np.maximum(signal + (NECROTIC - signal) * core, 0.3)


def lesion_shape(solidity: float, rng: np.random.Generator) -> Shape:
    """A surface as smooth as the solidity has it."""
    return random_shape(rng, _between(SHAPE_SPREAD, solidity))


def random_lesion(region: Region, solidity: float, rng: np.random.Generator) -> Lesion:
    """Draw what a lesion looks like inside its surface."""
    return Lesion(
        region,
        solidity,
        brightness=float(rng.uniform(0.8, 1.2)),
        rim_mm=float(rng.uniform(0.8, 2.2)),
        texture=random_field(rng, TEXTURE_WAVELENGTHS_MM, TEXTURE_WAVES),
    )


def cavity_signal(region: Region, patches: WaveField, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relative T1 signal of a cavity and of its thin, patchy rim, and the share of it at each point, both ``(N,)``.

    Args:
        patches: where the rim enhances.
        points: head RAS mm ``(N, 3)``.
    """
    outside = region.outside(points)
    inside = np.clip(0.5 - outside, 0, 1)
    rim = np.exp(-0.5 * ((outside - CAVITY_RIM_MM / 2) / (CAVITY_RIM_MM / 2)) ** 2)
    rim *= np.clip(0.5 + patches(points - region.centre), 0, 1)
    share = np.maximum(inside, rim)
    return np.where(inside > rim, CAVITY, CAVITY_RIM), share


def _between(ends: tuple[float, float], solidity: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * solidity
