"""The scans of a prepared data set: image, masks and dose of a session, read when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from treatment_response.cohort.case import case_of
from treatment_response.cohort.dataset import load_datalist
from treatment_response.cohort.layout import dose_path, read_volume
from treatment_response.features.intensity import scale_to_head
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import same_grid
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class Scan:
    """One session of one patient: its files.

    Attributes:
        masks: lesion → mask file.
        dose: None without a dose in this session.
    """

    subject: str
    session: str
    image: Path
    masks: dict[str, Path]
    dose: Path | None


class OpenScan:
    """A scan whose image and dose are read when they are first needed, once for all of its lesions."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.where = f"{scan.subject} {scan.session}"

    @cached_property
    def image(self) -> Volume:
        """The MR, air 0 and head tissue 100."""
        return scale_to_head(read_volume(self.scan.image, self.where), self.where)

    @cached_property
    def dose(self) -> Volume:
        """The dose in Gy."""
        assert self.scan.dose is not None
        return read_volume(self.scan.dose, f"{self.where} dose")

    def mask(self, lesion: str) -> Volume:
        """A lesion's mask.

        Raises:
            DataProblem: it does not lie on the image's grid.
        """
        mask = read_volume(self.scan.masks[lesion], f"{self.where} {lesion}")
        if not same_grid(mask, self.image):
            what = "the mask does not lie on the image's grid"
            raise DataProblem(Problem(f"{self.where} {lesion}", what, "put the mask on the image's own grid"))
        return mask


def dataset_scans(dataset_dir: str | Path, sessions: Sequence[str], unlabelled: Sequence[str] = ()) -> list[Scan]:
    """The scans of some sessions of a prepared data set, in order.

    Args:
        sessions: of the lesions with a label. unlabelled: of those without.
    """
    root = Path(dataset_dir).resolve()
    scans: dict[tuple[str, str], Scan] = {}
    samples = load_datalist(root, sessions)
    if unlabelled:
        every = load_datalist(root, unlabelled, unlabelled=True)
        samples += [sample for sample in every if sample["label"] is None]
    for sample in samples:
        subject, session = sample["subject"], sample["session"]
        dose = root / dose_path(subject, session)
        new = Scan(subject, session, Path(sample["image"]), {}, dose if dose.is_file() else None)
        scans.setdefault((subject, session), new).masks[sample["lesion"]] = Path(sample["mask"])
    return [scans[key] for key in sorted(scans)]


def case_scans(dataset_dir: Path, entries: Iterable[Mapping[str, Any]], image: str) -> list[Scan]:
    """The scans of cases of any system that have a mask: one image, and the case as its only lesion.

    Args:
        entries: of ``dataset.json``. image: name of the image that is measured; the mask lies on its grid.
    """
    root = dataset_dir.resolve()
    cases = (case_of(entry, root) for entry in entries if "mask" in entry)
    return [
        Scan(case["subject"], case["session"], Path(case["images"][image]), {case["case"]: Path(case["mask"])}, None)
        for case in cases
    ]
