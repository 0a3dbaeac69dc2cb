"""Between volumes and the images of ITK, whose axes are reversed in memory and whose millimetres are LPS."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from treatment_response.geometry.volume import Volume

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def from_itk(image: sitk.Image) -> Volume:
    """A 3D image of one component as a volume."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), _LPS @ affine)


def to_itk(volume: Volume) -> sitk.Image:
    """A volume as an image; its axes may be oblique but not skewed."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
    lps = _LPS @ volume.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def transform_to_itk(matrix: np.ndarray) -> sitk.AffineTransform:
    """A ``(4, 4)`` matrix of RAS mm as a transform of ITK."""
    lps = _LPS @ matrix @ _LPS
    return sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())


def rigid_to_itk(matrix: np.ndarray, centre: np.ndarray) -> sitk.Euler3DTransform:
    """A rigid ``(4, 4)`` matrix of RAS mm as a transform of ITK that turns about ``centre`` ``(3,)``, LPS mm."""
    lps = _LPS @ matrix @ _LPS
    transform = sitk.Euler3DTransform()
    transform.SetCenter(np.asarray(centre).tolist())
    transform.SetMatrix(lps[:3, :3].ravel().tolist(), tolerance=1e-6)
    transform.SetTranslation((lps[:3, :3] @ centre + lps[:3, 3] - centre).tolist())
    return transform


def matrix_from_itk(transform: sitk.Euler3DTransform | sitk.AffineTransform) -> np.ndarray:
    """The ``(4, 4)`` matrix of RAS mm of a rigid or affine transform of ITK."""
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    lps = np.eye(4)
    lps[:3, :3] = linear
    lps[:3, 3] = centre + np.array(transform.GetTranslation()) - linear @ centre
    return _LPS @ lps @ _LPS
