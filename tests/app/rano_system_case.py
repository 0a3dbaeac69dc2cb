"""RANO as a served system whose weights are planted: it answers to what is new and bright on FLAIR alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rice_system_case import CONFIGS, plant
from treatment_response.cohort.adapters.lumiere import RANO
from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.configs import read_configs
from treatment_response.weights import TrainingData, write_weights

STRONGEST = 4.0
"""Change of the score of progression that is shown as 1."""
COARSE = {"patch_size": [48, 56, 48], "pixel": 4.0, "cube": 4, "checkpointed_blocks": []}


def write_rano_system(folder: Path) -> dict[str, Any]:
    """Write the overlay with a narrow ResNet-18 and the planted weights; returns its entry for ``--conf systems``."""
    overlay = {**json.loads((CONFIGS / "rano.json").read_text()), **COARSE}
    overlay |= json.loads((CONFIGS / "rano_variants.json").read_text())["networks"]["ResNet-18"]
    overlay["images_network"]["block_inplanes"] = [2, 2, 2, 2]
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
    scales = {name: dict.fromkeys(names, STRONGEST) for name in overlay["explanation"]["explanations"]}
    data = TrainingData(name="planted", synthetic=True, lesions=2, patients=2, protocol="patients", fold=0)
    data = replace(data, preparation=str(ImagePreparation.BRAIN))
    write_weights(folder / "rano.pt", network, scales, data, RANO)
    return {"config": "overlay.json", "weights": "rano.pt"}
