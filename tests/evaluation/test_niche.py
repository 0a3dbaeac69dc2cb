"""The planted niche must land on the right cells, in millimetres, on an oblique grid with voxels of another size."""

import numpy as np
import pandas as pd
import pytest
from treatment_response.cohort.layout import write_volume
from treatment_response.evaluation.niche import cell_fractions
from treatment_response.evaluation.views import LesionSlice
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def make_slice(subject="sub-001", label=1, seed=0) -> LesionSlice:
    """A disc of 12 mm radius whose pixel axes are turned by 20° in the scanner."""
    affine = np.eye(4)
    affine[:3, :3] = turned(20) * 0.5
    affine[:3, 3] = [30.0, -12.0, 44.0]
    i, j = np.mgrid[:64, :64] - 31.5
    mask = np.hypot(i, j) < 24
    image = np.random.default_rng(seed).random((64, 64)) * 0.3 + 0.4 * mask
    return LesionSlice(subject, "L01", "ses-01", label, np.stack([image, mask]).astype(np.float32), affine)


def niche_around(pixel: tuple[float, float], one: LesionSlice, radius_mm: float = 4.0) -> Volume:
    """A ball of niche around a pixel of the slice, on anisotropic voxels that are not turned."""
    centre = (one.affine @ [*pixel, 0, 1])[:3]
    spacing = np.array([0.8, 0.9, 1.5])
    shape = np.array([60, 60, 14])
    affine = np.diag([*spacing, 1.0])
    middle = (one.affine @ [31.5, 31.5, 0, 1])[:3]
    affine[:3, 3] = middle - (shape - 1) / 2 * spacing
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return Volume((np.linalg.norm(world - centre, axis=-1) < radius_mm).astype(np.float32), affine)


@pytest.mark.parametrize("pixel", [(44, 34), (20, 40), (30, 14)])
def test_a_planted_ball_lands_on_its_cells(pixel):
    one = make_slice()
    fraction = cell_fractions(one, niche_around(pixel, one))
    i, j = np.mgrid[:16, :16] * 4 + 1.5
    centre = np.array([(fraction * i).sum(), (fraction * j).sum()]) / fraction.sum()
    assert np.abs(centre - pixel).max() < 1.0  # half a millimetre
    area_mm2 = fraction.sum() * 4.0
    assert area_mm2 == pytest.approx(np.pi * 16, rel=0.15)
    assert fraction[:2].max() == 0


def test_the_niche_of_another_lesion_is_refused():
    one = make_slice()
    volume = niche_around((32, 32), one)
    volume.affine[:3, 3] += 60
    with pytest.raises(DataProblem, match="lies elsewhere"):
        cell_fractions(one, volume)


@pytest.fixture
def cohort(tmp_path):
    """Two lesions with niches, and the truth folder; the ids in DICOM are not those of the data set."""
    slices = [make_slice("sub-001", 1, 1), make_slice("sub-002", 0, 2)]
    for one, patient, pixel in zip(slices, ("SYN003", "SYN010"), ((40, 30), (24, 36)), strict=True):
        write_volume(tmp_path / "niche" / f"{patient}_L01_mri1.nii.gz", niche_around(pixel, one))
    table = pd.DataFrame({"patient_id": ["SYN010", "SYN003"], "lesion": "L01"})
    table.to_csv(tmp_path / "truth.csv", index=False)
    return slices, tmp_path
