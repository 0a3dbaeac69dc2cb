"""The ablation table: what it compares, on which lesions, and that nothing is chosen on the reported cohort."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from synthetic.ablation import Settings, ablation, ablation_table, held_out_maps
from synthetic.designs import DESIGNS, PAPER, STRONGER
from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.configs import read_configs
from treatment_response.networks import CellVoteClassifier
from treatment_response.problems import DataProblem

pytestmark = pytest.mark.usefixtures("preloaded_workers")
TOP = {"burden_slice": 0.9}


def scores(**p_response: list[float]) -> pd.DataFrame:
    """Held-out rows of eight lesions of eight patients; keys are names of designs."""
    label = [0, 0, 0, 0, 1, 1, 1, 1]
    rows = [
        ("texture", design, f"sub-{i}", "L01", label[i], p, 0.25 if i % 2 else 0.75, i == 3)
        for design, values in p_response.items()
        for i, p in enumerate(values)
    ]
    return pd.DataFrame(
        rows, columns=["niche", "design", "subject", "lesion", "label", "p_response", "cam_auc", "flipped"]
    )


def test_the_table_holds_the_difference_and_the_share_of_the_gap_that_is_closed():
    half = [0.1, 0.2, 0.8, 0.9, 0.15, 0.25, 0.85, 0.95]  # 10 of 16 pairs in order
    better = [0.1, 0.2, 0.3, 0.9, 0.35, 0.4, 0.85, 0.95]  # 13 of 16
    chosen = [design for design in DESIGNS if design.name in (PAPER, STRONGER)]
    table = ablation_table(scores(paper=half, improved=better), chosen, TOP).set_index("design")
    assert table.loc[PAPER, "auc"] == pytest.approx(10 / 16)
    assert table.loc["improved", "auc"] == pytest.approx(13 / 16)
    assert table.loc["improved", "difference"] == pytest.approx(3 / 16)
    assert table.loc["improved", "gap_closed"] == pytest.approx((3 / 16) / (0.9 - 10 / 16))
    assert np.isnan(table.loc[PAPER, "gap_closed"])
    assert (table["cam_auc"] == 0.5).all()
    assert (table["flips"] == 1 / 8).all()
    assert list(table["lesions"]) == [8, 8]


def test_every_override_of_a_design_is_an_id_of_its_config():
    """MONAI adds a misspelled id without a word, and the row would be that of the whole network."""
    for design in DESIGNS:
        parser = read_configs(("train.json", *design.overlays))
        for name, value in design.overrides.items():
            assert name in parser, name
            assert parser[name] != value, name
        parser.update(dict(design.overrides))
        assert parser.get_parsed_content("network_def")(torch.rand(2, 2, 64, 64).round()).shape == (2, 1)


def test_maps_are_scored_on_the_largest_slices():
    mask = torch.zeros(3, 64, 64)
    for index, half in enumerate((4, 12, 8)):
        mask[index, 32 - half : 32 + half, 32 - half : 32 + half] = 1
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * mask
    rows = [SampleRow("sub-1", "L01", "ses-01", 0, 0, slice=index) for index in range(3)]
    niche = np.zeros((3, 16, 16), dtype=np.float32)
    niche[1, 5:8, 5:8] = 1
    torch.manual_seed(0)
    found = held_out_maps(CellVoteClassifier().eval(), Samples(torch.stack([image, mask], 1), rows), niche)
    assert len(found) == 1
    assert 0 <= found["cam_auc"][0] <= 1  # the other slices hold no niche and would have no score


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings((101, 0), ("texture",)), "seed 0 is the cohort that is reported"),
        (Settings((101,), ("texture",), ("improvd",)), "'improvd' is no design"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(settings, said, tmp_path):
    with pytest.raises(DataProblem, match=said):
        ablation(tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_small_run_resumes_to_the_same_table(tmp_path: Path):
    (tmp_path / "ceilings.json").write_text('{"burden_slice": 0.96}')  # they take half a minute, and are kept
    settings = Settings((107,), ("intensity",), ("largest slice",), lesions=8, folds=2, epochs=1, workers=1)
    quiet = Console(quiet=True)
    table = ablation(tmp_path, settings, quiet)
    assert list(table["design"]) == [PAPER, "largest slice"]
    assert set(table["lesions"]) == {8}
    assert list(table["flips"])[1] == 0  # that network sees nothing outside the contour
    content = json.loads((tmp_path / "ablation.json").read_text())
    assert "Rankings on synthetic data reflect its design." in " ".join(content["notes"])
    assert content["ceilings"]["burden_slice"] == 0.96  # the line in the figure
    assert (tmp_path / "ablation.png").is_file()
    written = (tmp_path / "ablation.csv").read_bytes()
    (tmp_path / "ablation.csv").unlink()
    gone = next(tmp_path.glob("runs/intensity_107/largest_slice/fold_1"))
    for file in ("predictions.csv", "models/model.pt"):
        (gone / file).unlink()
    ablation(tmp_path, settings, quiet)
    assert (tmp_path / "ablation.csv").read_bytes() == written
    with pytest.raises(DataProblem, match="another epochs"):
        ablation(tmp_path, Settings((107,), ("intensity",), lesions=8, folds=2, epochs=2), quiet)
