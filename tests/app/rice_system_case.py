"""RICE-NET as a served system with planted weights, which answer to what is new and bright, and a patient for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import torch
from pulsar_app.local.patients import FirstMri
from treatment_response.classes import classes_of
from treatment_response.cohort.synthetic.rice.simulate import simulate_rice
from treatment_response.configs import read_configs
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.write_rice_cohort import write_rice_cohort
from treatment_response.geometry import Volume
from treatment_response.model_description import TrainingData
from treatment_response.paths import bundle_root
from treatment_response.weights import write_weights

CONFIGS = Path(bundle_root()) / "configs"
CLASSES = {"names": ["radiation effect", "recurrence"], "finding": "recurrence", "primary_metric": "auc"}
COARSE = {"patch_size": 48, "pixel": 4.0, "widths": [2, 2, 2, 2], "cube": 4}
BRIGHTER = 1.0
"""By so many standard deviations the event is brighter than the MR before radiotherapy where the network answers."""
STRONGEST = 7.0
"""Change of the score of recurrence that is shown as 1."""


PATIENT, SPACING_MM = 4, 2.5


@dataclass(frozen=True)
class RicePatient:
    """A patient of the synthetic cohort, in files.

    Attributes:
        dicom: folder of the studies. event: the MR with the new lesion. lesion: its mask on the MR's grid.
        truth: the row of ``truth.csv``.
    """

    dicom: Path
    event: FirstMri
    lesion: Volume
    truth: dict[str, Any]

    @property
    def lesion_mm(self) -> np.ndarray:
        """Centre of the lesion in RAS mm."""
        return np.asarray(self.lesion.to_world(np.argwhere(self.lesion.array > 0)).mean(axis=0))


def write_rice_patient(folder: Path) -> RicePatient:
    """Write a patient whose lesion is a recurrence."""
    cohort = simulate_rice(patients=6, mixed=0, spacing_mm=SPACING_MM)
    write_rice_cohort(replace(cohort, patients=(cohort.patients[PATIENT],)), folder, processes=1)
    (row,) = pd.read_csv(folder / "truth" / "truth.csv").to_dict("records")
    image = nibabel.load(folder / "truth" / "lesion" / f"{row['patient_id']}.nii.gz")
    day = pd.read_csv(folder / "clinical.csv")["event_date"][0]
    (event,) = (one for one in scan_folder(folder / "dicom").series if one.modality == "MR" and str(one.date) == day)
    lesion = Volume(np.asanyarray(image.dataobj), image.affine)
    return RicePatient(folder / "dicom", FirstMri(event.study_uid, event.series_uid), lesion, row)


def write_rice_system(folder: Path, **more: Any) -> dict[str, Any]:
    """Write the coarse overlay and the planted weights; returns the system's entry for ``--conf systems``."""
    overlay = {**json.loads((CONFIGS / "rice_net.json").read_text()), **COARSE, **more}
    (folder / "overlay.json").write_text(json.dumps(overlay))
    network = read_configs([str(CONFIGS / "inference.json"), str(folder / "overlay.json")]).get_parsed_content(
        "network_def"
    )
    channels = overlay["channels"]
    plant(network, channels.index("event"), channels.index("post_operative"), finding=1, otherwise=0)
    scales = {"occlusion": dict.fromkeys(CLASSES["names"], STRONGEST)}
    data = TrainingData(name="planted", synthetic=True, lesions=2, patients=2, protocol="patients", fold=0)
    write_weights(folder / "rice.pt", network, scales, data, classes_of(CLASSES))
    return {"config": "overlay.json", "weights": "rice.pt"}


@torch.no_grad()
def plant(network: torch.nn.Module, event: int, before: int, finding: int, otherwise: int) -> None:
    """Make a MONAI ResNet's score of one class grow with what is new and bright.

    The stem takes the difference of two channels over a threshold. Each stage's first block sums its neighbourhood,
    all other blocks pass on what they are given.

    Args:
        event, before: numbers of the two channels.
        finding: number of that class. otherwise: of the class that it decides where nothing is new.
    """
    for parameter in network.parameters():
        parameter.zero_()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.weight.fill_(1.0)
            module.running_mean.zero_()
            module.running_var.fill_(1.0)
    stem = network.conv1.weight
    middle = stem.shape[-1] // 2
    stem[0, (event, before), middle - 1 : middle + 2, middle - 1 : middle + 2, middle - 1 : middle + 2] = 1 / 27
    stem[0, before] *= -1
    network.bn1.bias[0] = -BRIGHTER
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.weight[0, 0] = 1.0
        stage[0].conv2.weight[0, 0, 1, 1, 1] = 1.0
    network.fc.weight[finding, 0] = 0.5
    network.fc.bias[otherwise] = 0.5
