"""Heads whose brain is known: the template's, bent, inside a dark skull and a bright scalp, on any grid. Synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import ndimage
from treatment_response.geometry import Volume, moved_points
from treatment_response.geometry.template import template

SHAPE, SPACING = (60, 76, 46), (3.0, 2.8, 4.4)
Ball = tuple[tuple[float, float, float], float, float]
"""Centre in template mm, radius in mm, and signal (white matter is about 0.8)."""


def pose() -> np.ndarray:
    """Template mm → head mm: turned by 9 and 6 degrees, scaled by 0.94 to 1.07, shifted."""
    about_x, about_z = np.deg2rad(9), np.deg2rad(6)
    turn_x = np.array([[1, 0, 0], [0, np.cos(about_x), -np.sin(about_x)], [0, np.sin(about_x), np.cos(about_x)]])
    turn_z = np.array([[np.cos(about_z), -np.sin(about_z), 0], [np.sin(about_z), np.cos(about_z), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn_z @ turn_x @ np.diag([1.07, 0.94, 1.04])
    matrix[:3, 3] = (9.0, -14.0, 22.0)
    return matrix


def bump_mm(points: np.ndarray) -> np.ndarray:
    """By how much points of the template are pushed outwards, ``(N, 3)`` mm: 5 mm at one side, −4 mm at another."""
    moved = np.zeros_like(points)
    for place, amount in (((55.0, 10.0, 25.0), 5.0), ((-35.0, -75.0, 20.0), -4.0)):
        centre = np.array(place)
        strength = amount * np.exp(-(np.linalg.norm(points - centre, axis=1) ** 2) / (2 * 28.0**2))
        moved += strength[:, None] * centre / np.linalg.norm(centre)
    return moved


def grid(motion: np.ndarray | None = None, degrees: float = 12.0) -> Volume:
    """Oblique and anisotropic; its first axis runs to the left. Only its place counts.

    Args:
        motion: head mm → the grid's mm, so that the grid follows the head.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.array(SPACING) * (-1, 1, 1))
    affine[:3, 3] = (9.0, -32.0, 20.0) - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return Volume(np.zeros(SHAPE, np.uint8), (np.eye(4) if motion is None else motion) @ affine)


def template_points(image: Volume, motion: np.ndarray | None = None) -> np.ndarray:
    """Where the voxels of an image come from, ``(N, 3)`` template mm."""
    index = np.stack(np.meshgrid(*map(np.arange, image.array.shape), indexing="ij"), -1).reshape(-1, 3)
    inverse = np.linalg.inv((np.eye(4) if motion is None else motion) @ pose())
    points = moved_points(inverse, image.to_world(index))
    return points - bump_mm(points)


def planted_head(
    balls: Sequence[Ball] = (), motion: np.ndarray | None = None, degrees: float = 12.0, seed: int = 0
) -> tuple[Volume, Volume]:
    """The image and the mask of its brain.

    Args:
        balls: what is planted in the brain, the later ones over the earlier ones.
        motion: head mm → scanner mm. degrees: by which the grid is oblique. seed: of the noise.
    """
    image = grid(motion, degrees)
    points = template_points(image, motion)
    t1, brain = template("t1"), template("brain")
    places = t1.to_index(points).T
    values = ndimage.map_coordinates(t1.array, places, order=1)
    outside = ndimage.map_coordinates(_outside_mm(), places / 2 + 12, order=1, cval=60.0)
    inside = ndimage.map_coordinates(brain.array.astype(np.float32), places, order=1) >= 0.5
    for centre, radius, signal in balls:
        values = np.where(np.linalg.norm(points - centre, axis=1) < radius, signal, values)
    values = np.where(inside, values, np.where(outside < 7, 0.08, np.where(outside < 14, 1.3, 0.0)))
    values *= 1 + 0.15 * points[:, 1] / 80  # a receive coil in front
    noise = np.random.default_rng(seed).normal(0, 0.03, values.size)
    image = Volume(((values + noise).clip(0) * 600).reshape(SHAPE).astype(np.float32), image.affine)
    return image, Volume(inside.reshape(SHAPE).astype(np.uint8), image.affine)


@lru_cache(maxsize=1)
def _outside_mm() -> np.ndarray:
    brain = template("brain").array[::2, ::2, ::2]
    return 2 * ndimage.distance_transform_edt(np.pad(brain, 12) == 0)
