"""Rigid registration of two images of one head, and moving an image, a mask or a dose with it in one resampling.

Mutual information (Mattes et al., IEEE TMI 2003) is maximised from coarse to fine by SimpleITK, once from the fixed
image to the moving one and once back. The result lies half-way between the two, and how far they differ tells how well
it is determined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from treatment_response.cases.mutual_information import optimised, optimiser, thinned, without_tails
from treatment_response.geometry import Volume, moved_points
from treatment_response.geometry.grids import same_grid
from treatment_response.geometry.itk import from_itk, matrix_from_itk, rigid_to_itk, to_itk, transform_to_itk
from treatment_response.problems import DataProblem, Problem

_TAILS = (0.1, 99.9)
_LEAST_GRADIENT = 1e-10
_FEWEST_SLICES = 4
_FEWEST_HEAD_VOXELS = 100


@dataclass(frozen=True)
class Level:
    """One step from coarse to fine.

    Attributes:
        spacing_mm: the images are smoothed and thinned to about this voxel, along axes that are finer.
        samples: points of the fixed image at which the images are compared, at most.
        first_step_mm, last_step_mm: of the optimiser, as the largest motion of a point.
    """

    spacing_mm: float
    samples: int
    first_step_mm: float
    last_step_mm: float


@dataclass(frozen=True)
class RegistrationSettings:
    """How images are registered, and when the result is doubtful.

    Attributes:
        levels: from coarse to fine. Every start runs through the first one, the best through the others.
        bins: of the joint histogram.
        iterations: most per level.
        seed: of the points at which the images are compared.
        largest_disagreement_mm: mean over the head, between the registration there and back.
        largest_rotation_deg: a head lies in scanners in about the same way.
        smallest_overlap: share of a head that the other image shows, see `Registration`.
        smallest_information: normalised mutual information, see `Registration`.
    """

    levels: tuple[Level, ...] = (
        Level(6.0, 20_000, 4.0, 0.05),
        Level(3.0, 60_000, 2.0, 0.005),
        Level(1.5, 60_000, 1.0, 0.001),
    )
    bins: int = 40
    iterations: int = 200
    seed: int = 1
    largest_disagreement_mm: float = 0.5
    largest_rotation_deg: float = 35.0
    smallest_overlap: float = 0.5
    smallest_information: float = 1.1


DEFAULT = RegistrationSettings()


@dataclass(frozen=True)
class Registration:
    """Where the points of one image lie in another.

    Attributes:
        matrix: ``(4, 4)`` float64, rigid: RAS mm of the **fixed** image → RAS mm of the **moving** image.
        disagreement_mm: mean distance over the head between the registration there and back; 0 is best.
        information: normalised mutual information (H1 + H2) / H12 of the heads, from 1 (none) to 2 (Studholme, 1999).
        overlap: share of the fixed image's head inside the moving image, or the other way round if that is more.
        doubts: why the result should not be trusted without a look; empty if no rule speaks against it.
    """

    matrix: np.ndarray
    disagreement_mm: float
    information: float
    overlap: float
    doubts: tuple[str, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Whether a rule speaks against it."""
        return bool(self.doubts)


def register(
    fixed: Volume,
    moving: Volume,
    fixed_mask: Volume | None = None,
    moving_mask: Volume | None = None,
    settings: RegistrationSettings = DEFAULT,
) -> Registration:
    """Register two images of one head that differ by a rigid motion. The same input gives the same result.

    Args:
        fixed, moving: ``(I, J, K)`` on any grids, oblique ones included, of any sequences.
        fixed_mask, moving_mask: where the images are compared (above 0), each on its image's grid; None is everywhere.

    Raises:
        DataProblem: an image is constant, has values that are not finite or fewer than 4 slices, a mask is empty or on
            another grid, or no start lets the images overlap.
    """
    fixed_mask_image = _mask(fixed_mask, fixed, "fixed mask")
    moving_mask_image = _mask(moving_mask, moving, "moving mask")
    fixed_levels = _pyramid(fixed, fixed_mask, "fixed image", settings.levels)
    moving_levels = _pyramid(moving, moving_mask, "moving image", settings.levels)
    there = _optimised(fixed_levels, moving_levels, fixed_mask_image, moving_mask_image, settings)
    back = _optimised(moving_levels, fixed_levels, moving_mask_image, fixed_mask_image, settings, np.linalg.inv(there))
    again = np.linalg.inv(back)
    head, moving_head = _head(fixed_levels[0]), _head(moving_levels[0])
    disagreement = float(np.linalg.norm(moved_points(there, head) - moved_points(again, head), axis=1).mean())
    matrix = _between(there, again, head.mean(0))
    overlap = max(
        _share_inside(moved_points(matrix, head), moving),
        _share_inside(moved_points(np.linalg.inv(matrix), moving_head), fixed),
    )
    middle = len(settings.levels) // 2
    information = _normalised_information(fixed_levels[middle], moving_levels[middle], matrix)
    doubts = _doubts(matrix, disagreement, information, overlap, settings)
    return Registration(matrix, disagreement, information, overlap, doubts)


Content = Literal["image", "dose", "mask", "labels"]
"""What the voxels of a volume are, which decides how they are interpolated."""


def resample(volume: Volume, like: Volume, matrix: np.ndarray, content: Content) -> Volume:
    """Move a volume onto another grid through a transform, in one interpolation.

    An image and a dose are interpolated linearly. A voxel belongs to a mask where the linearly interpolated mask is at
    least 0.5. Labels are those of the nearest voxel.

    Args:
        volume: ``(I, J, K)`` in the moving image's space; a mask is what is above 0.
        like: its grid is taken: ``(I', J', K')`` in the fixed image's space. Its values are not looked at.
        matrix: RAS mm of the fixed image → RAS mm of the moving image (`Registration.matrix`).
        content: what the voxels are.

    Returns:
        The volume on the grid of ``like``: float32 of an image or dose, uint8 of a mask, labels in their own type.
        Outside of ``volume`` it is 0, and of an image its lowest value.

    Raises:
        ValueError: there is no such content.
    """
    if content not in get_args(Content):
        raise ValueError(f"'{content}' is no content; choose one of {', '.join(get_args(Content))}")
    values = volume.array
    if content == "mask":
        values = (values > 0).astype(np.float32)
    elif content != "labels":
        values = values.astype(np.float32)
    outside = float(values.min()) if content == "image" else 0.0
    interpolator = sitk.sitkNearestNeighbor if content == "labels" else sitk.sitkLinear
    grid = to_itk(Volume(np.empty(like.array.shape, np.uint8), like.affine))
    image = to_itk(Volume(values, volume.affine))
    moved = from_itk(sitk.Resample(image, grid, transform_to_itk(matrix), interpolator, outside)).array
    if content == "mask":
        moved = (moved >= 0.5).astype(np.uint8)
    return Volume(moved, like.affine.copy())


def _mask(mask: Volume | None, image: Volume, name: str) -> sitk.Image | None:
    if mask is None:
        return None
    if not same_grid(mask, image):
        raise DataProblem(Problem(name, "is on another grid than its image", "resample it onto the image's grid"))
    if not (mask.array > 0).any():
        raise DataProblem(Problem(name, "has no voxel above 0", "draw it, or leave it out"))
    return to_itk(Volume((mask.array > 0).astype(np.uint8), mask.affine))


def _pyramid(volume: Volume, mask: Volume | None, name: str, levels: Sequence[Level]) -> list[sitk.Image]:
    """The image at the spacing of each level, each made from the next finer one."""
    compared = volume.array[::2, ::2, ::2] if mask is None else volume.array[mask.array > 0]
    image = without_tails(volume, compared, _TAILS, _FEWEST_SLICES, name)
    images = []
    for level in reversed(levels):
        image = thinned(image, level.spacing_mm)
        images.append(image)
    return images[::-1]


def _optimised(
    fixed: Sequence[sitk.Image],
    moving: Sequence[sitk.Image],
    fixed_mask: sitk.Image | None,
    moving_mask: sitk.Image | None,
    settings: RegistrationSettings,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """The matrix after all levels; with a known start the first level, which finds one, is left out."""
    transform = None if start is None else rigid_to_itk(start, _middle(fixed[0]))
    levels = list(zip(settings.levels, fixed, moving, strict=True))
    for level, fixed_image, moving_image in levels if transform is None else levels[1:]:
        method = optimiser(
            fixed_image,
            bins=settings.bins,
            samples=level.samples,
            steps_mm=(level.first_step_mm, level.last_step_mm),
            iterations=settings.iterations,
            least_gradient=_LEAST_GRADIENT,
            seed=settings.seed,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
        )
        starts = _starts(fixed_image, moving_image) if transform is None else [transform]
        runs = [optimised(method, fixed_image, moving_image, one) for one in starts]
        transform = min(runs, key=lambda run: run[0])[1]
        if transform is None:
            what = "does not overlap with the fixed image"
            raise DataProblem(Problem("moving image", what, "check that both show the same part of the body"))
    assert transform is not None
    return matrix_from_itk(transform)


def _starts(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    """Scanner coordinates as they are, centres of the fields of view, centres of the heads."""
    as_it_is = rigid_to_itk(np.eye(4), _middle(fixed))
    kinds = sitk.CenteredTransformInitializerFilter.GEOMETRY, sitk.CenteredTransformInitializerFilter.MOMENTS
    centred = [sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), kind) for kind in kinds]
    return [as_it_is, *map(sitk.Euler3DTransform, centred)]


def _head(image: sitk.Image) -> np.ndarray:
    """RAS mm ``(N, 3)`` of the points of the head in a coarse image: those above Otsu's threshold."""
    head = from_itk(sitk.OtsuThreshold(image, 0, 1))
    return head.to_world(np.argwhere(head.array > 0))


def _share_inside(points: np.ndarray, image: Volume) -> float:
    """Share of points that lie inside an image's field of view."""
    index = image.to_index(points)
    return float(np.all((index >= -0.5) & (index <= np.array(image.array.shape) - 0.5), axis=1).mean())


def _normalised_information(fixed: sitk.Image, moving: sitk.Image, matrix: np.ndarray, bins: int = 32) -> float:
    """(H1 + H2) / H12 over the voxels of either head that both images show."""
    moved = sitk.Resample(moving, fixed, transform_to_itk(matrix), sitk.sitkLinear, float("nan"))
    first, second = (sitk.GetArrayViewFromImage(image).ravel() for image in (fixed, moved))
    levels = [float(sitk.GetArrayViewFromImage(image).mean()) for image in (fixed, moving)]
    shown = np.isfinite(second) & ((first > levels[0]) | (second > levels[1]))
    if shown.sum() < _FEWEST_HEAD_VOXELS:
        return 1.0
    joint = np.histogram2d(first[shown], second[shown], bins)[0] / shown.sum()
    single = _entropy(joint.sum(0)) + _entropy(joint.sum(1))
    return float(single / max(_entropy(joint), 1e-12))


def _entropy(share: np.ndarray) -> float:
    some = share[share > 0]
    return float(-(some * np.log(some)).sum())


def _between(one: np.ndarray, other: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The rigid transform half-way between two, as seen from a point."""
    first, second = Rotation.from_matrix(one[:3, :3]), Rotation.from_matrix(other[:3, :3])
    half = first * Rotation.from_rotvec(0.5 * (first.inv() * second).as_rotvec())
    middle = np.eye(4)
    middle[:3, :3] = half.as_matrix()
    middle[:3, 3] = (moved_points(one, centre) + moved_points(other, centre)) / 2 - middle[:3, :3] @ centre
    return middle


def _middle(image: sitk.Image) -> np.ndarray:
    """LPS mm of the middle of an image."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _doubts(
    matrix: np.ndarray, disagreement: float, information: float, overlap: float, settings: RegistrationSettings
) -> tuple[str, ...]:
    rotation = float(np.rad2deg(Rotation.from_matrix(matrix[:3, :3]).magnitude()))
    doubts = []
    if disagreement > settings.largest_disagreement_mm:
        limit = settings.largest_disagreement_mm
        doubts.append(f"registered there and back it differs by {disagreement:.1f} mm, expected at most {limit:g}")
    if rotation > settings.largest_rotation_deg:
        doubts.append(f"it turns the head by {rotation:.0f}°, expected at most {settings.largest_rotation_deg:g}")
    if overlap < settings.smallest_overlap:
        shared = f"{overlap:.0%} of the head is in both images"
        doubts.append(f"{shared}, expected at least {settings.smallest_overlap:.0%}")
    if information < settings.smallest_information:
        limit = settings.smallest_information
        doubts.append(f"its normalised mutual information is {information:.3f}, expected at least {limit:g}")
    return tuple(doubts)
