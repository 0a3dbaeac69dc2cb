"""Heads from the MNI152 template: its brain, with skull and scalp added, deformed a little for each patient.

The template is a mean of many brains, so its cortex is blurred: the tissue maps are sharpened before they become
signal. The template has no skull; coverings are drawn at fixed distances around its smoothed brain, so that skull
stripping has something to strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import affine_transform, distance_transform_edt, gaussian_filter, label, map_coordinates

from treatment_response.cohort.synthetic.fields import WaveField, random_field
from treatment_response.cohort.synthetic.head import AIR, BONE, FAT, FLUID, GREY, VEIN_ENHANCEMENT, WHITE
from treatment_response.cohort.synthetic.scanner import Grid
from treatment_response.cohort.synthetic.simulate import Session
from treatment_response.geometry import Volume
from treatment_response.geometry.template import template

CENTRE = np.array([0.0, -18.0, 6.0])
"""About the middle of the head, template RAS mm."""
HALF = 2
"""Every second voxel of the template is enough for distances."""
CLOSING_MM = 10
SMOOTHING_MM = 4.0
SKULL_MM = (2.5, 8.5)
SCALP_MM = 14.0
DURA_MM, DURA_HEIGHT_MM = 1.4, 1.8
DURA_ENHANCEMENT = 0.45
SINUS_Z = 10.0
WAVELENGTHS_MM = (75.0, 150.0)
WAVES = 8
BEND_MM = 2.2
SIZE_SD = 0.03
FIELD_STEP_MM = 5.0
VENTRICLE, MIDLINE_MM, VENTRICLE_FLOOR_Z = (12.0, 6.0, 18.0), 1.5, -4.0


@dataclass(frozen=True)
class TemplateHead:
    """The template as it is rendered and asked, in template RAS mm; shared, so not to be changed.

    Attributes:
        plain: relative T1 signal without contrast agent, white matter 1; 1 mm voxels.
        enhanced: the same with contrast agent: dura, sagittal sinus and skin are brighter.
        depth: distance in mm from the surface of the brain, positive inside, ventricles included; 2 mm voxels.
        height: distance in mm above the smoothed surface of the brain with its furrows closed; 1 mm voxels.
        ventricle_distance: distance in mm from the lateral ventricles, 0 in them; 2 mm voxels.
        supratentorial: where a glioblastoma may lie: 1 in the brain above the tentorium, else 0; 2 mm voxels.
    """

    plain: Volume
    enhanced: Volume
    depth: Volume
    height: Volume
    ventricle_distance: Volume
    supratentorial: Volume


def sharpened(share: np.ndarray) -> np.ndarray:
    """Shares of a tissue, 0 to 1, with steeper borders than those of a mean of many brains."""
    return share * share * share  # several times as fast as a power


@lru_cache(maxsize=1)
def template_head() -> TemplateHead:
    """Build the template's head; takes seconds, so each process does it once."""
    brain, affine = template("brain").array > 0, template("brain").affine
    white, grey = (template(name).array for name in ("wm", "gm"))
    fluid = np.maximum(1 - white - grey, 0)
    white, grey, fluid = (sharpened(share) for share in (white, grey, fluid))
    total = white + grey + fluid + np.float32(1e-6)
    tissue = (WHITE * white + GREY * grey + FLUID * fluid) / total
    share = gaussian_filter(brain.astype(np.float32), 0.5)
    height = _height(brain)
    signal = FLUID + (tissue - FLUID) * share
    signal += _step(height - SKULL_MM[0], 1.0) * (BONE - signal)
    signal += _step(1.2 - np.abs(height - np.mean(SKULL_MM)), 1.0) * (0.45 - signal)
    signal += _step(height - SKULL_MM[1], 1.0) * (0.9 * FAT - signal)
    signal += _step(height - SCALP_MM, 1.0) * (AIR - signal)

    x, _, z = _coordinates(brain.shape, affine)
    dura = DURA_ENHANCEMENT * _step(DURA_MM / 2 - np.abs(height - DURA_HEIGHT_MM), 1.0)
    sinus = VEIN_ENHANCEMENT * _step(3.0 - np.hypot(x, height - 0.5), 1.5) * _step(z - SINUS_Z, 4)
    skin = 0.12 * _step(1.0 - np.abs(height - SCALP_MM + 1.5), 1)
    enhancement = np.maximum(np.maximum(dura, sinus), skin)

    coarse = affine @ np.diag([HALF, HALF, HALF, 1.0])
    brain, fluid = (array[::HALF, ::HALF, ::HALF] for array in (brain, fluid / total > 0.5))
    ventricles = _lateral_ventricles(fluid & brain, coarse)
    return TemplateHead(
        plain=Volume(signal, affine),
        enhanced=Volume(signal + enhancement, affine),
        depth=Volume(HALF * (distance_transform_edt(brain) - distance_transform_edt(~brain)), coarse),
        height=Volume(height, affine),
        ventricle_distance=Volume(HALF * distance_transform_edt(~ventricles), coarse),
        supratentorial=Volume((brain & ~_below_tentorium(brain.shape, coarse)).astype(np.float32), coarse),
    )


def _height(brain: np.ndarray) -> np.ndarray:
    """Distance in mm above the smoothed surface of a brain at 1 mm, negative inside; furrows are closed first."""
    padded = np.pad(brain[::HALF, ::HALF, ::HALF], CLOSING_MM)
    closed = distance_transform_edt(~padded) * HALF <= CLOSING_MM
    closed = distance_transform_edt(closed) * HALF > CLOSING_MM
    smooth = gaussian_filter((closed | padded).astype(np.float32), SMOOTHING_MM / HALF)
    inside = (smooth > 0.5) | padded
    height = HALF * (distance_transform_edt(~inside) - distance_transform_edt(inside))
    height = gaussian_filter(height, 1.0)[(slice(CLOSING_MM, -CLOSING_MM),) * 3]
    return affine_transform(
        height.astype(np.float32), [1 / HALF] * 3, output_shape=brain.shape, order=1, mode="nearest"
    )


def _step(value: np.ndarray, width: float) -> np.ndarray:
    """0 below −width/2, 1 above width/2, linear between: a partial-volume edge."""
    return np.clip(value / width + 0.5, 0, 1).astype(np.float32)


def _coordinates(shape: tuple[int, ...], affine: np.ndarray) -> list[np.ndarray]:
    """Template mm along each axis of its grid, which is not turned; broadcast to the grid."""
    return [
        (affine[axis, 3] + affine[axis, axis] * np.arange(size, dtype=np.float32)).reshape(
            [-1 if axis == other else 1 for other in range(3)]
        )
        for axis, size in enumerate(shape)
    ]


def _lateral_ventricles(fluid: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The pieces of fluid off the midline that lie nearest to the middles of the lateral ventricles."""
    x, _, z = _coordinates(fluid.shape, affine)
    pieces, _ = label(fluid & (np.abs(x) > MIDLINE_MM) & (z > VENTRICLE_FLOOR_Z))
    voxels = np.argwhere(pieces > 0)
    world = Volume(pieces, affine).to_world(voxels)
    found = np.zeros(fluid.shape, dtype=bool)
    for side in (-1, 1):
        nearest = voxels[np.linalg.norm(world - np.array(VENTRICLE) * (side, 1, 1), axis=1).argmin()]
        found |= pieces == pieces[tuple(nearest)]
    return found


def _below_tentorium(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Cerebellum, brainstem and what lies beside them, by planes."""
    x, y, z = _coordinates(shape, affine)
    behind = (y < -32) & (z < -6 - 0.25 * np.abs(x))
    middle = (np.abs(x) < 22) & (z < -12) & (y < 12)
    return behind | middle | (z < -34)


@dataclass(frozen=True)
class PatientHead:
    """How one patient's head differs from the template: head mm → template mm.

    Attributes:
        scale: ``(3,)``, template mm per head mm along RAS.
        bends: three fields, one per axis, whose values times ``BEND_MM`` are added.
    """

    scale: np.ndarray
    bends: tuple[WaveField, WaveField, WaveField]

    def to_template(self, points: np.ndarray) -> np.ndarray:
        """Template RAS mm of head RAS mm ``(N, 3)``."""
        scaled = (points - CENTRE) * self.scale + CENTRE
        return scaled + BEND_MM * np.stack([bend(points) for bend in self.bends], axis=1)

    def sample(self, volume: Volume, points: np.ndarray) -> np.ndarray:
        """A template volume's values ``(N,)`` at head points ``(N, 3)``, linear between voxels; edge values outside."""
        index = volume.to_index(self.to_template(points))
        return map_coordinates(volume.array, index.T, order=1, mode="nearest", output=np.float64)


def random_patient_head(rng: np.random.Generator) -> PatientHead:
    """Draw a head: size ± 3 % along each axis, bent smoothly by some 2 mm."""
    scale = 1 / rng.normal(1, SIZE_SD, 3).clip(1 - 2 * SIZE_SD, 1 + 2 * SIZE_SD)
    bends = [random_field(rng, WAVELENGTHS_MM, WAVES) for _ in range(3)]
    return PatientHead(scale, (bends[0], bends[1], bends[2]))


def on_grid(volume: Volume, head: PatientHead, session: Session, grid: Grid, outside: float) -> np.ndarray:
    """A template volume as a session's scanner sees it, float32 on the session's grid ``(I, J, K)``.

    The pose and the deformation are one transform, so the template is interpolated once.

    Args:
        outside: the value where the template ends.
    """
    corners = grid.to_world(np.array(np.meshgrid(*[(0, size - 1) for size in grid.shape])).reshape(3, -1).T)
    low, high = corners.min(axis=0) - FIELD_STEP_MM, corners.max(axis=0) + FIELD_STEP_MM
    counts = np.ceil((high - low) / FIELD_STEP_MM).astype(int) + 1
    nodes = np.stack(np.meshgrid(*(np.arange(count) for count in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    world = low + FIELD_STEP_MM * nodes
    moved = head.to_template(session.to_head(world)) - world
    field = sitk.GetImageFromArray(moved.reshape(*counts, 3).transpose(2, 1, 0, 3), isVector=True)
    field.SetOrigin(low.tolist())
    field.SetSpacing([FIELD_STEP_MM] * 3)
    resample = sitk.ResampleImageFilter()
    resample.SetTransform(sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64)))
    resample.SetSize(grid.shape)
    resample.SetOutputSpacing(grid.voxel_mm.tolist())
    resample.SetOutputDirection((grid.affine[:3, :3] / grid.voxel_mm).ravel().tolist())
    resample.SetOutputOrigin(grid.affine[:3, 3].tolist())
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetDefaultPixelValue(outside)
    resample.SetNumberOfThreads(1)
    return sitk.GetArrayFromImage(resample.Execute(_as_image(volume))).transpose(2, 1, 0)


def _as_image(volume: Volume) -> sitk.Image:
    """A template volume as an image whose millimetres are RAS, as the transform's are."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetSpacing(volume.spacing.tolist())
    return image
