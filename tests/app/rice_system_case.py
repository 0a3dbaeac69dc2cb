"""RICE-NET as a served system whose weights are planted: it answers to what is bright on the event MR alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from treatment_response.classes import classes_of
from treatment_response.configs import read_configs
from treatment_response.paths import bundle_root
from treatment_response.weights import TrainingData, write_weights

CONFIGS = Path(bundle_root()) / "configs"
CLASSES = {"names": ["radiation effect", "recurrence"], "finding": "recurrence", "primary_metric": "auc"}
COARSE = {"patch_size": 48, "pixel": 4.0, "widths": [2, 2, 2, 2], "cube": 4}
BRIGHTER = 1.0
"""By so many standard deviations the event is brighter than the MR before radiotherapy where the network answers."""
STRONGEST = 7.0
"""Change of the score of recurrence that is shown as 1."""


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
