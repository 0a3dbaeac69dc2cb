"""A study's scanned sequences on an atlas: heads as the authors of the RANO study make them, or brains alone.

*Heads* (arXiv 2504.18268): each sequence is corrected for its bias field (N4) and denoised. The most isotropic one is
registered to the atlas, rigidly and then affinely; the others are registered rigidly to it. The authors use ANTs, and
SRI24 with a T1 and a T2 atlas. Here it is SimpleITK with mutual information, so one T1 atlas serves all sequences, and
non-local means of scikit-image, which is the method of ANTs' denoising.

*Brains*: what stands nearest to LUMIERE's own atlas images, which DeepBraTumIA made. The T1 (with contrast if there is
one) is moved rigidly onto MNI152, the others with it, and what is outside its brain is 0.

Both transforms of a sequence are applied in one interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from skimage.restoration import denoise_nl_means, estimate_sigma

from treatment_response.cases.brain_mask import brain_mask
from treatment_response.cases.brain_mask_cache import brain_mask_cached
from treatment_response.cases.mutual_information import optimiser
from treatment_response.cases.registration import Registration, register, resample
from treatment_response.cases.registration_cache import matrix_cached, register_cached
from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.cohort.nifti_file import read_placed_nifti
from treatment_response.cohort.nifti_scan import read_image
from treatment_response.cohort.paired_patient import StudyImages
from treatment_response.geometry import Volume
from treatment_response.geometry.itk import from_itk, matrix_from_itk, rigid_to_itk, to_itk
from treatment_response.geometry.template import template
from treatment_response.geometry.volume import flip_lps_ras
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

SEQUENCES = ("CT1", "T1", "T2", "FLAIR")
"""In the order in which the authors look for the most isotropic one."""
_MASK = "DeepBraTumIA-segmentation/native/segmentation/{}_seg_mask.nii.gz"
_METHOD = 1
"""Goes up when `atlas_to_image` gives other results for the same images."""
_N4_SHRINK, _N4_ITERATIONS = 4, (30, 30, 20)
_PATCH, _DISTANCE, _STRENGTH = 3, 2, 0.8
_RIM_MM = 8.0
"""Images and atlas are compared in the atlas' brain and this far around it."""
_AFFINE_STEPS_MM, _AFFINE_ITERATIONS, _AFFINE_SAMPLES = (0.5, 0.005), 80, 60_000
_PLAUSIBLE_SCALE = (0.75, 1.35)
_LUMIERE_SHAPE, _LUMIERE_CORNER_MM = (182, 218, 182), (90.0, -126.0, -72.0)
"""The grid of LUMIERE's atlas images: MNI152 at 1 mm, whose first axis runs to the left."""


@dataclass(frozen=True)
class AtlasStudy:
    """A study's sequences on one grid of an atlas.

    Attributes:
        images: sequence → image, float32 on the atlas' grid.
        matrices: sequence → ``(4, 4)``, RAS mm of the atlas → RAS mm of the scan.
        main: the sequence that was registered to the atlas; the others were registered to it.
        doubts: why a registration should not be trusted without a look, one sentence each.
    """

    images: Mapping[str, Volume]
    matrices: Mapping[str, np.ndarray]
    main: str
    doubts: tuple[str, ...] = ()


def heads_on_atlas(
    scans: Mapping[str, Volume], where: str, atlas: Volume | None = None, cache: Path | None = None
) -> AtlasStudy:
    """Clean the scans of one study and move them onto an atlas, skull and all.

    Args:
        scans: sequence → scan on its own grid, in the order in which the most isotropic one is looked for.
        where: how to call the study in problems.
        atlas: a brain's T1, skull-stripped; None is MNI152 at 1 mm.
        cache: folder where registrations are kept; None keeps none.

    Raises:
        DataProblem: a scan cannot be registered.
    """
    atlas = template("t1") if atlas is None else atlas
    clean = {}
    for number, (name, scan) in enumerate(scans.items()):
        tell(f"cleaning {name}", number / len(scans))
        clean[name] = denoised(without_bias(scan))
    main = most_isotropic(clean)
    tell("registering to the atlas", 0)
    make = partial(atlas_to_image, atlas, clean[main], f"{where} {main}")
    to_main = make() if cache is None else matrix_cached(cache, [_METHOD], (atlas, clean[main]), make)
    return _moved(clean, main, to_main, atlas, cache)


def brains_on_atlas(scans: Mapping[str, Volume], where: str, cache: Path | None = None) -> AtlasStudy:
    """Move the scans of one study rigidly onto MNI152, and leave out what is no brain; values stay as they are.

    Args:
        scans: sequence → scan on its own grid; a T1, with or without contrast, must be among them.
        where: how to call the study in problems.
        cache: folder where registrations and brains are kept; None keeps none.

    Raises:
        DataProblem: there is no T1, its brain is not found, or a scan cannot be registered.
    """
    main = next((name for name in ("CT1", "T1") if name in scans), None)
    if main is None:
        what = f"has no T1, in which its brain could be found (it has {', '.join(scans)})"
        raise DataProblem(Problem(where, what, "use a model that takes a T1"))
    tell("finding the brain", 0)
    found = brain_mask(scans[main]) if cache is None else brain_mask_cached(cache, scans[main])
    inside = found.mask.array > 0
    low = float(scans[main].array.min())
    brain = Volume(np.where(inside, scans[main].array - low, 0).astype(np.float32), scans[main].affine)
    tell("registering to the atlas", 0)
    rigid = _rigid(template("t1"), brain, cache)
    doubts = [*found.doubts, *(f"{main} on the atlas: {doubt}" for doubt in rigid.doubts)]
    study = _moved(scans, main, rigid.matrix, lumiere_grid(), cache)
    mask = resample(found.mask, lumiere_grid(), rigid.matrix, "mask").array > 0
    images = {
        name: Volume(np.where(mask, image.array, 0).astype(np.float32), image.affine)
        for name, image in study.images.items()
    }
    return AtlasStudy(images, study.matrices, main, (*doubts, *study.doubts))


def lumiere_grid() -> Volume:
    """The grid of LUMIERE's own atlas images; its values take no memory."""
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = _LUMIERE_CORNER_MM
    return Volume(np.broadcast_to(np.uint8(0), _LUMIERE_SHAPE), affine)


def _moved(scans: Mapping[str, Volume], main: str, to_main: np.ndarray, grid: Volume, cache: Path | None) -> AtlasStudy:
    """The scans on a grid by way of the main one, to which the others are registered rigidly.

    Args:
        to_main: RAS mm of the grid → RAS mm of the main scan.
    """
    images, matrices, doubts = {}, {}, []
    for number, (name, scan) in enumerate(scans.items()):
        tell(f"registering {name}", number / len(scans))
        matrix = to_main
        if name != main:
            rigid = _rigid(scans[main], scan, cache)
            doubts += [f"{name} to {main}: {doubt}" for doubt in rigid.doubts]
            matrix = rigid.matrix @ to_main
        matrices[name] = matrix
        images[name] = resample(scan, grid, matrix, "image")
    return AtlasStudy(images, matrices, main, tuple(doubts))


def _rigid(fixed: Volume, moving: Volume, cache: Path | None) -> Registration:
    return register(fixed, moving) if cache is None else register_cached(cache, fixed, moving)


@dataclass(frozen=True)
class ScannedImages:
    """Reads a study's scans and moves them onto an atlas.

    Attributes:
        atlas: a brain's T1, skull-stripped; None is MNI152 at 1 mm.
        read_only: leave everything out that takes time: the files are judged, the values are of no use.
    """

    atlas: Path | None = None
    read_only: bool = False

    @property
    def name(self) -> str:
        """What it does, in words for the report."""
        onto = "the MNI152 atlas" if self.atlas is None else "the given atlas"
        return f"scans with N4, denoised, registered affinely to {onto}"

    @property
    def preparation(self) -> ImagePreparation:
        """What ``dataset.json`` calls it."""
        return ImagePreparation.HEAD if self.atlas is None else ImagePreparation.HEAD_ON_OTHER

    def files(self, folder: Path) -> dict[str, Path]:
        """Sequence → file."""
        return {name: folder / f"{name}.nii.gz" for name in SEQUENCES}

    def read(self, folder: Path, sequences: Sequence[str], labels: Volume | None, where: str) -> StudyImages:
        """The images of a study's folder; its segmentation is the one of the scan that is registered.

        Args:
            labels: on LUMIERE's own atlas, which has another grid: only whether there are any counts here.

        Raises:
            DataProblem: a file cannot be used, or a registration is doubtful.
        """
        wanted = [name for name in SEQUENCES if name in sequences]
        scans = {name: read_image(self.files(folder)[name], f"{where} {name}").volume for name in wanted}
        atlas = template("t1") if self.atlas is None else read_placed_nifti(self.atlas, "atlas")
        main = most_isotropic(scans)
        mask = folder / _MASK.format(main.lower())
        found = read_placed_nifti(mask, f"{where} segmentation") if labels is not None and mask.is_file() else None
        if self.read_only:
            empty = Volume(np.zeros(atlas.array.shape, np.uint8), atlas.affine)
            return StudyImages(dict.fromkeys(sequences, empty), None if found is None else empty)
        study = heads_on_atlas(scans, where, atlas)
        if study.doubts:
            what = f"a registration is doubtful ({'; '.join(study.doubts)})"
            raise DataProblem(Problem(where, what, "look at the images"))
        images = {name: study.images[name] for name in sequences}
        moved = None if found is None else resample(found, atlas, study.matrices[main], "labels")
        note = f"{main} is registered to the atlas, the others to it"
        return StudyImages(images, moved, (note,))


def most_isotropic(images: Mapping[str, Volume]) -> str:
    """The name of the image whose voxels are most alike in their edges; of equal ones the first."""
    return min(images, key=lambda name: float(images[name].spacing.max() / images[name].spacing.min()))


def without_bias(image: Volume) -> Volume:
    """The image divided by its smooth bias field (N4: Tustison et al., IEEE TMI 2010), estimated on a coarse copy."""
    whole = to_itk(Volume(image.array.astype(np.float32), image.affine))
    factors = [max(1, min(_N4_SHRINK, size // 8)) for size in whole.GetSize()]
    coarse = sitk.Shrink(whole, factors)
    correct = sitk.N4BiasFieldCorrectionImageFilter()
    correct.SetMaximumNumberOfIterations(_N4_ITERATIONS)
    correct.SetNumberOfWorkUnits(1)  # the same input gives the same result
    correct.Execute(coarse, sitk.OtsuThreshold(coarse, 0, 1))
    field = sitk.Exp(correct.GetLogBiasFieldAsImage(whole))
    return Volume(from_itk(whole / sitk.Cast(field, sitk.sitkFloat32)).array, image.affine)


def denoised(image: Volume) -> Volume:
    """The image without its Gaussian noise, by non-local means (Buades et al., 2005; fast form)."""
    values = image.array.astype(np.float32)
    sigma = float(estimate_sigma(values))
    clean = denoise_nl_means(
        values, patch_size=_PATCH, patch_distance=_DISTANCE, h=_STRENGTH * sigma, sigma=sigma, fast_mode=True
    )
    return Volume(clean.astype(np.float32), image.affine)


def atlas_to_image(atlas: Volume, image: Volume, where: str) -> np.ndarray:
    """Where the atlas' points lie in an image: ``(4, 4)`` affine, RAS mm of the atlas → RAS mm of the image.

    Raises:
        DataProblem: the image does not overlap with the atlas, or fits it only when it is scaled beyond what heads are.
    """
    brain = atlas.array > 0.05 * float(np.percentile(atlas.array, 99))
    steps = np.rint(_RIM_MM / atlas.spacing).astype(int)
    region = ndimage.binary_dilation(brain, iterations=int(steps.max()))
    mask = Volume(region.astype(np.uint8), atlas.affine)
    rigid = register(atlas, image, mask)
    centre = flip_lps_ras(atlas.to_world(np.argwhere(brain)).mean(axis=0))
    turned = rigid_to_itk(rigid.matrix, centre)
    start = sitk.AffineTransform(turned.GetMatrix(), turned.GetTranslation(), turned.GetCenter())
    fixed, moving = (to_itk(Volume(one.array.astype(np.float32), one.affine)) for one in (atlas, image))
    method = optimiser(
        fixed,
        bins=40,
        samples=_AFFINE_SAMPLES,
        steps_mm=_AFFINE_STEPS_MM,
        iterations=_AFFINE_ITERATIONS,
        fixed_mask=to_itk(mask),
    )
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    matrix = matrix_from_itk(start)
    scale = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if scale.min() < _PLAUSIBLE_SCALE[0] or scale.max() > _PLAUSIBLE_SCALE[1]:
        what = f"it fits the atlas only if it is scaled by {scale.min():.2f} to {scale.max():.2f}"
        raise DataProblem(Problem(where, what, "look at the image"))
    return matrix
