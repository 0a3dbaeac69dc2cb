"""The maps of the delivered weights, recorded before their scales left the network for ``model.json``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
GOLDEN = Path(__file__).with_name("golden_maps.npz")
TOLERANCE = 1e-6


def slices() -> torch.Tensor:
    """Three discs of 8 to 20 pixels' radius, two with waves of different length in them; no random number."""
    row, column = torch.meshgrid(torch.arange(64.0) - 31.5, torch.arange(64.0) - 31.5, indexing="ij")
    x = []
    for radius, wave in ((8.0, 3.0), (14.0, 7.0), (20.0, 0.0)):
        mask = ((row**2 + column**2) <= radius**2).float()
        waves = 0.05 * torch.sin(row / wave) * torch.cos(column / (wave + 1)) if wave else 0 * row
        x.append(torch.stack([0.4 + 0.05 * mask + waves * mask, mask]))
    return torch.stack(x)


def answers() -> dict[str, np.ndarray]:
    """What the bundle's own config says of the slices: logits, and each map raw and scaled."""
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "inference.json"))
    parser.update({"bundle_root": str(CONFIGS.parent), "device": "$torch.device('cpu')"})
    network, inferer = (parser.get_parsed_content(name) for name in ("network", "inferer"))
    maps = inferer(slices(), network)
    found = {"logits": maps.logits.numpy()}
    for kind, family in (("raw", maps.raw), ("scaled", maps.scaled)):
        found |= {f"{kind} {variant} {target.label}": value.numpy() for (variant, target), value in family.items()}
    return found


def test_the_delivered_weights_give_the_maps_that_were_recorded():
    with np.load(GOLDEN, allow_pickle=False) as golden:
        found = answers()
        assert set(golden.files) == set(found)
        assert len(found) == 1 + 2 * 6
        assert sum(values.any() for values in found.values()) > 10
        for name in golden.files:
            np.testing.assert_allclose(found[name], golden[name], rtol=0, atol=TOLERANCE, err_msg=name)


if __name__ == "__main__":  # writes the golden values anew
    np.savez_compressed(GOLDEN, **answers())
