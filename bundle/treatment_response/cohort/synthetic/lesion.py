"""One synthetic lesion: its surface, its niche and its texture, all as functions of position."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from treatment_response.cohort.synthetic.fields import WaveField, random_field

SHAPE_SD = 0.13
SHAPE_RANGE = (0.70, 1.35)
SHAPE_WAVELENGTHS = (2.0, 5.0)
NICHE_WAVELENGTHS_MM = (9.0, 14.0)
TEXTURE_WAVELENGTHS_MM = (2.8, 4.5)
NICHE_KINDS = ("texture", "intensity")


@dataclass(frozen=True)
class Shape:
    """A star-shaped surface in lesion-normalised coordinates: ``scale · exp(spread · field)``, cut to a range.

    Attributes:
        field: low-order random field, evaluated on the unit sphere.
        scale: makes the enclosed volume that of the unit ball.
        spread: how irregular it is; 0 is a ball.
    """

    field: WaveField
    scale: float
    spread: float = SHAPE_SD

    def radius(self, directions: np.ndarray) -> np.ndarray:
        """Distance of the surface from the centre ``(N,)`` along unit vectors ``(N, 3)``."""
        return np.clip(self.scale * np.exp(self.spread * self.field(directions)), *SHAPE_RANGE)


def sphere_points(count: int) -> np.ndarray:
    """Evenly spread unit vectors ``(count, 3)`` (Fibonacci lattice): equal weights integrate over the sphere."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    turn = np.pi * (1 + np.sqrt(5)) * index
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)


SPHERE = sphere_points(1500)


def random_shape(rng: np.random.Generator, spread: float = SHAPE_SD) -> Shape:
    """Draw an irregular surface that encloses exactly the unit ball's volume."""
    shape = Shape(random_field(rng, SHAPE_WAVELENGTHS, 10), 1.0, spread)
    for _ in range(6):  # the cut makes the volume not quite proportional to the scale
        shape = replace(shape, scale=shape.scale * float(np.mean(shape.radius(SPHERE) ** 3) ** (-1 / 3)))
    return shape


@dataclass(frozen=True)
class Lesion:
    """What is true about one lesion.

    Positions are in head coordinates (RAS mm, the head's centre at the origin). Session numbers are 0 (MRI 1),
    1 (MRI 2) and 2 (follow-up); surface and niche grow and shrink with the volume, the texture stays in mm.

    Attributes:
        lesion: ``L01``, unique within the patient.
        roi_name: as the clinic calls it.
        site: lobe and side.
        centre: ``(3,)`` head RAS mm.
        radius_mm: radius of the ball with the lesion's true volume at MRI 1.
        shape: surface.
        rim_mm: thickness of the bright rim. 0.8 to 2.2 mm.
        necrosis: share of the radius that is necrotic core, 0 to 0.55.
        niche_kind: ``texture`` or ``intensity``.
        niche: field whose highest values are niche, over MRI 1 millimetres around the centre.
        niche_threshold: niche = field above it.
        burden: exact share of the volume that is niche, 0 to 1.
        texture: unit-variance field over millimetres around the centre.
        log_ratios: true log(V / V1) per session, the first is 0.
        offsets_mm: how far outside the true surface each session's contour was drawn.
        p_response: true P(response | x).
        label: 1 response, 0 non-response, by the drawn volumes.
        vanished: no lesion left at follow-up.
        prescription_gy: dose of the course's three fractions at the lesion's surface.
        gradient_index: V(half prescription) / V(prescription) of the planned dose.
    """

    lesion: str
    roi_name: str
    site: str
    centre: np.ndarray
    radius_mm: float
    shape: Shape
    rim_mm: float
    necrosis: float
    niche_kind: str
    niche: WaveField
    niche_threshold: float
    burden: float
    texture: WaveField
    log_ratios: tuple[float, float, float]
    offsets_mm: tuple[float, float, float]
    p_response: float
    label: int
    vanished: bool
    prescription_gy: float
    gradient_index: float

    def growth(self, session: int) -> float:
        """Length scale of a session relative to MRI 1."""
        return float(np.exp(self.log_ratios[session] / 3))

    def is_present(self, session: int) -> bool:
        """Whether there is a lesion in this session."""
        return not (self.vanished and session == 2)

    def surface(self, offsets: np.ndarray, session: int) -> tuple[np.ndarray, np.ndarray]:
        """Distance from the centre and distance of the true surface in that direction, both ``(N,)`` in mm.

        Args:
            offsets: points ``(N, 3)`` in mm relative to the centre, along the head's axes.
            session: 0, 1 or 2.
        """
        distance = np.linalg.norm(offsets, axis=1)
        directions = offsets / np.maximum(distance, 1e-9)[:, None]
        return distance, self.radius_mm * self.growth(session) * self.shape.radius(directions)

    def is_niche(self, offsets: np.ndarray, session: int) -> np.ndarray:
        """Whether points ``(N, 3)`` inside the lesion are niche, boolean ``(N,)``."""
        return self.niche(offsets / self.growth(session)) > self.niche_threshold

    def drawn_volume(self, session: int) -> float:
        """Volume in mm³ inside the contour as drawn; 0 once the lesion has vanished."""
        if not self.is_present(session):
            return 0.0
        return drawn_volume(self.shape, self.radius_mm * self.growth(session), self.offsets_mm[session])


def drawn_volume(shape: Shape, radius_mm: float, offset_mm: float) -> float:
    """Volume in mm³ of a shape whose surface is moved outward by ``offset_mm``."""
    return float(4 / 3 * np.pi * np.mean(np.maximum(radius_mm * shape.radius(SPHERE) + offset_mm, 0) ** 3))


def inside_points(shape: Shape, radius_mm: float) -> np.ndarray:
    """Points ``(N, 3)`` inside the lesion at MRI 1, in mm around its centre, on a grid of step ``radius / 16``."""
    points, distance, directions = _unit_grid()
    return radius_mm * points[distance < shape.radius(directions)]


@lru_cache(maxsize=1)
def _unit_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regular points in normalised coordinates, as far out as a surface can lie; their distances and directions."""
    axis = np.arange(-23, 24, dtype=np.float32) / 16 + 1 / 32
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(points, axis=1)
    points, distance = points[distance < SHAPE_RANGE[1]], distance[distance < SHAPE_RANGE[1]]
    return points, distance, points / distance[:, None]


def niche_threshold(niche: WaveField, points: np.ndarray, burden: float) -> float:
    """Threshold above which exactly the share ``burden`` of the points (spread evenly over the volume) is niche."""
    return float(np.quantile(niche(points), 1 - burden))
