"""A quick rigid registration between two sessions, good for checking which lesion is which and for nothing else.

Images that are to lie on each other need :func:`treatment_response.cases.registration.register`.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from treatment_response.geometry import Volume
from treatment_response.geometry.itk import matrix_from_itk

WORKING_SPACING_MM = 4.0
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def register(fixed: Volume, moving: Volume) -> np.ndarray:
    """Rigid transform from points of ``fixed`` to points of ``moving``.

    Both images are reduced to 4 mm; mutual information (Mattes) is maximised from the best of three starts: scanner
    coordinates as they are, centres of the images, centres of mass.

    Returns:
        ``(4, 4)`` RAS mm matrix.
    """
    fixed_image, moving_image = _reduced(fixed), _reduced(moving)
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.3, seed=1)  # the regular grid of samples is jittered
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 60, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    start = min(_starts(fixed_image, moving_image), key=lambda one: _metric(method, fixed_image, moving_image, one))
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed_image, moving_image)
    return matrix_from_itk(start)


def _starts(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    centre = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    as_is = sitk.Euler3DTransform()
    as_is.SetCenter(centre)
    starts = [as_is]
    for kind in (sitk.CenteredTransformInitializerFilter.GEOMETRY, sitk.CenteredTransformInitializerFilter.MOMENTS):
        starts.append(
            sitk.Euler3DTransform(sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), kind))
        )
    return starts


def _metric(
    method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image, start: sitk.Euler3DTransform
) -> float:
    method.SetInitialTransform(start, inPlace=False)
    try:
        return method.MetricEvaluate(fixed, moving)
    except RuntimeError:  # the images do not overlap from this start
        return float("inf")


def _reduced(volume: Volume) -> sitk.Image:
    """The image averaged down to about 4 mm (block means, so that thin slices are not lost to aliasing), as float."""
    array = np.asarray(volume.array, dtype=np.float32)
    factors = np.maximum(1, np.rint(WORKING_SPACING_MM / volume.spacing).astype(int))
    sizes = [n // f for n, f in zip(array.shape, factors, strict=True)]
    cut = array[tuple(slice(0, n * f) for n, f in zip(sizes, factors, strict=True))]
    for axis, (size, factor) in enumerate(zip(sizes, factors, strict=True)):
        shape = (*cut.shape[:axis], size, factor, *cut.shape[axis + 1 :])
        cut = cut.reshape(shape).mean(axis=axis + 1)
    scale = np.diag([*factors.astype(float), 1.0])
    scale[:3, 3] = (factors - 1) / 2
    affine = _FLIP @ volume.affine @ scale
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(cut.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetDirection(_orthonormal(affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _orthonormal(directions: np.ndarray) -> np.ndarray:
    """The nearest matrix of right angles: header directions are rounded, and ITK refuses those."""
    u, _, vt = np.linalg.svd(directions)
    return u @ vt
