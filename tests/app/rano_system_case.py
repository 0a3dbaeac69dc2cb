"""RANO as a served system with planted weights, which answer to what is new on FLAIR, and a patient for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rice_system_case import CONFIGS, plant
from served_rano_case import EARLIER, NOW, Written, write_study
from treatment_response.cohort.adapters.lumiere import RANO
from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.configs import read_configs
from treatment_response.dicom.write import PatientIds
from treatment_response.weights import TrainingData, write_weights

STRONGEST = 0.12
"""Change of the score of progression that is shown as 1."""
HESITANT = 0.015
"""Of the score, so that its probabilities are none that nobody believes."""
COARSE = {"patch_size": [48, 56, 48], "pixel": 4.0, "cube": 4, "checkpointed_blocks": []}


PATIENT = PatientIds("SYN-RANO", "SYNTHETIC^RANO", "19500105", "F")
SEQUENCES = ("FLAIR", "T1", "T2", "CT1")


def write_rano_patient(folder: Path) -> Written:
    """Write two studies of a patient on whom network and rule disagree; returns the later one.

    The outlined tumour grows too little for a progression, and oedema is new around it.
    """
    patient = {"patient": PATIENT, "outlined": "CT1"}
    write_study(folder, "rano", EARLIER, SEQUENCES, **patient, radius_mm=13.0)
    return write_study(folder, "rano", NOW, SEQUENCES, **patient, radius_mm=13.6, oedema_mm=24.0)


def write_rano_system(folder: Path) -> dict[str, Any]:
    """Write the overlay with a narrow ResNet-18 and the planted weights; returns its entry for ``--conf systems``."""
    overlay = {**json.loads((CONFIGS / "rano.json").read_text()), **COARSE}
    overlay |= json.loads((CONFIGS / "rano_variants.json").read_text())["networks"]["ResNet-18"]
    overlay["images_network"]["block_inplanes"] = [2, 2, 2, 2]
    explanations = overlay["explanation"]["explanations"]
    overlay["explanation"]["explanations"] = {"occlusion": explanations["occlusion"]}
    (folder / "overlay.json").write_text(json.dumps(overlay))
    config = read_configs([str(CONFIGS / "inference.json"), str(folder / "overlay.json")])
    network = config.get_parsed_content("network_def")
    channels, names = list(config.get_parsed_content("channels")), RANO.names
    plant(
        network.images,
        channels.index("FLAIR"),
        channels.index("FLAIR_earlier"),
        finding=names.index("PD"),
        otherwise=names.index("SD"),
    )
    network.images.fc.weight.data *= HESITANT
    scales = {"occlusion": dict.fromkeys(names, STRONGEST)}
    data = TrainingData(name="planted", synthetic=True, lesions=2, patients=2, protocol="patients", fold=0)
    data = replace(data, preparation=str(ImagePreparation.BRAIN))
    write_weights(folder / "rano.pt", network, scales, data, RANO)
    return {"config": "overlay.json", "weights": "rano.pt"}
