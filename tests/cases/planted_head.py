"""A head whose brain is known: the template's, bent, inside a dark skull and a bright scalp, on any grid. Synthetic."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from treatment_response.geometry import Volume
from treatment_response.geometry.template import template

SHAPE, SPACING = (60, 76, 46), (3.0, 2.8, 4.4)


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


def grid() -> Volume:
    """Oblique and anisotropic; its first axis runs to the left. Only its place counts."""
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.array(SPACING) * (-1, 1, 1))
    affine[:3, 3] = (9.0, -32.0, 20.0) - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return Volume(np.zeros(SHAPE, np.uint8), affine)


def planted_head() -> tuple[Volume, Volume]:
    """The image and the mask of its brain."""
    image = grid()
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).reshape(-1, 3)
    inverse = np.linalg.inv(pose())
    points = image.to_world(index) @ inverse[:3, :3].T + inverse[:3, 3]
    points = points - bump_mm(points)
    t1, brain = template("t1"), template("brain")
    distance = 2 * ndimage.distance_transform_edt(np.pad(brain.array[::2, ::2, ::2], 12) == 0)
    places = t1.to_index(points).T
    grey = ndimage.map_coordinates(t1.array, places, order=1)
    outside = ndimage.map_coordinates(distance, places / 2 + 12, order=1, cval=60.0)
    inside = ndimage.map_coordinates(brain.array.astype(np.float32), places, order=1) >= 0.5
    values = np.where(inside, grey, np.where(outside < 7, 0.08, np.where(outside < 14, 1.3, 0.0)))
    values *= 1 + 0.15 * points[:, 1] / 80  # a receive coil in front
    noise = np.random.default_rng(0).normal(0, 0.03, values.size)
    image = Volume(((values + noise).clip(0) * 600).reshape(SHAPE).astype(np.float32), image.affine)
    return image, Volume(inside.reshape(SHAPE).astype(np.uint8), image.affine)
