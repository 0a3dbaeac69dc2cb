"""One lesion's slice with everything the figures show of it: image, network's inner maps and CAMs, as plain arrays."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treatment_response.evaluation.metrics import CLASS_NAMES
from treatment_response.files import whole_file
from treatment_response.problems import DataProblem, Problem

LESION_VIEWS = "lesion_views.npz"
"""The file of a run's folder that holds its views."""
VARIANT_NAMES = {"gradcam": "Grad-CAM", "gradcampp": "Grad-CAM++", "pixelwise": "pixel-wise CAM"}


@dataclass(frozen=True)
class LesionSlice:
    """What the network sees of a lesion, and where that lies.

    Attributes:
        subject, lesion, session: its key. label: true class, 1 = response.
        x: (2, S, S) float32, image in [0, 1], then binary mask; the axes run towards R and A.
        affine: (4, 4), pixel (i, j, 0, 1) to RAS mm.
    """

    subject: str
    lesion: str
    session: str
    label: int
    x: NDArray
    affine: NDArray

    @property
    def pixel_mm(self) -> float:
        """Side of a pixel in mm."""
        return float(np.linalg.norm(self.affine[:3, 0]))


@dataclass(frozen=True)
class LesionView:
    """A lesion in one session.

    Attributes:
        subject, lesion, session: its key (``sub-001``, ``L01``, ``ses-01``).
        label: true class, 1 = response. p_response: the network's probability.
        p_brain_outside: its probability with brain-like values outside the contour (`evaluation.outside_contour`).
        image: (64, 64) in [0, 1]. mask: (64, 64) binary GTV. pixel_mm: side of a pixel.
        reconstruction: (64, 64) in [0, 1], the decoder's output; None for a network without one.
        features: (K, 16, 16) encoder output before the mask. gradients: (K, 16, 16) ∂logit/∂features.
        cams: (variant, target class) → (16, 16), each already on the model's stored [0, 1] scale.
    """

    subject: str
    lesion: str
    session: str
    label: int
    p_response: float
    p_brain_outside: float
    image: NDArray
    mask: NDArray
    pixel_mm: float
    reconstruction: NDArray | None
    features: NDArray
    gradients: NDArray
    cams: dict[tuple[str, int], NDArray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the figures call it."""
        return f"{self.subject} {self.lesion}"

    @property
    def truth(self) -> str:
        """The true class in words."""
        return CLASS_NAMES[self.label]

    @property
    def wrong(self) -> bool:
        """Whether the class at P(response) = 0.5 is not the true one."""
        return (self.p_response >= 0.5) != (self.label == 1)

    @property
    def flips(self) -> bool:
        """Whether brain-like values outside the contour change the class at P(response) = 0.5."""
        return (self.p_response >= 0.5) != (self.p_brain_outside >= 0.5)

    def cell_mm(self) -> float:
        """Side of one CAM cell in mm."""
        return self.pixel_mm * self.image.shape[0] / self.features.shape[-1]

    def cell_mask(self) -> NDArray[np.bool_]:
        """(16, 16): cells that hold any pixel of the GTV."""
        return cell_mask(self.mask, self.features.shape[-1])


def cell_mask(mask: NDArray, cells: int = 16) -> NDArray[np.bool_]:
    """``(cells, cells)``: those that hold any pixel of the binary `mask` (S, S), S a multiple of `cells`."""
    step = mask.shape[0] // cells
    blocks: NDArray[np.bool_] = mask.reshape(cells, step, cells, step).max(axis=(1, 3)) > 0
    return blocks


def write_views(path: Path, views: Sequence[LesionView]) -> None:
    """Write the views of one network: one array per attribute, the lesions along its first axis.

    Args:
        path: the file. views: at least one.
    """
    first = views[0]
    names = [each.name for each in fields(LesionView) if each.name != "cams" and getattr(first, each.name) is not None]
    arrays = {name: np.array([getattr(view, name) for view in views]) for name in names}
    arrays |= {
        f"cams/{variant}/{target}": np.array([view.cams[variant, target] for view in views])
        for variant, target in first.cams
    }
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_views(path: Path) -> list[LesionView]:
    """Read what `write_views` wrote.

    Raises:
        DataProblem: the file does not hold views.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return [_view(arrays, index) for index in range(len(arrays["subject"]))]
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile, zlib.error) as error:
        what, remedy = (
            f"it holds no views of lesions ({type(error).__name__})",
            "score the network again (evaluate.json)",
        )
        raise DataProblem(Problem(str(path), what, remedy)) from None


def _view(arrays: dict[str, NDArray], index: int) -> LesionView:
    cams = {}
    for name, values in arrays.items():
        if name.startswith("cams/"):
            _, variant, target = name.split("/")
            cams[variant, int(target)] = values[index]
    rest = {name: values[index] for name, values in arrays.items() if not name.startswith("cams/")}
    return LesionView(
        str(rest["subject"]),
        str(rest["lesion"]),
        str(rest["session"]),
        int(rest["label"]),
        float(rest["p_response"]),
        float(rest["p_brain_outside"]),
        rest["image"],
        rest["mask"],
        float(rest["pixel_mm"]),
        rest.get("reconstruction"),
        rest["features"],
        rest["gradients"],
        cams,
    )
