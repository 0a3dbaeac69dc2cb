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
