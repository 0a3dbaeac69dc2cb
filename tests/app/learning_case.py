"""A folder of NIfTI as a clinic's server has it: images, saved labels, and a table of responses."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
from pulsar_app.studies.datastore import FolderDatastore
from toy_dataset import write_toy_dataset

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
GTV = {"L01": 1, "L02": 2}
Rows = list[dict[str, str]]


def write_folder(root: Path, patients: int = 12) -> Rows:
    """Images ``sub-001_ses-01_ce-gadolinium_T1w.nii.gz`` in one folder, with final labels of two lesions each.

    Lesions that respond have a bright core (see `write_toy_dataset`).

    Returns:
        The rows of a table of responses: image, roi, response.
    """
    prepared = write_toy_dataset(root.with_name(f"{root.name}_prepared"), patients=patients, folds=2)
    root.mkdir()
    samples = json.loads((prepared / "dataset.json").read_text())["training"]
    first = [sample for sample in samples if sample["session"] == "ses-01"]
    for sample in first:
        shutil.copy2(prepared / sample["image"], root / Path(sample["image"]).name)
    store = FolderDatastore(root)
    rows: Rows = []
    for image in {Path(sample["image"]).name for sample in first}:
        lesions = [sample for sample in first if Path(sample["image"]).name == image]
        masks = [nibabel.load(prepared / lesion["mask"]) for lesion in lesions]
        label = sum(
            np.asarray(mask.dataobj) * GTV[lesion["lesion"]] for mask, lesion in zip(masks, lesions, strict=True)
        )
        path = root.with_name("label.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label.astype(np.uint8), masks[0].affine), path)
        image_id = image.removesuffix(".nii.gz")
        info = {"label_info": [{"name": f"GTV_{value}", "idx": value} for value in GTV.values()]}
        store.save_label(image_id, str(path), "final", info)
        rows += [
            {
                "image": image_id,
                "roi": f"GTV_{GTV[lesion['lesion']]}",
                "response": "response" if lesion["label"] else "non-response",
            }
            for lesion in lesions
        ]
    shutil.rmtree(prepared)
    return rows


def write_table(path: Path, rows: Rows) -> Path:
    """Write a table of responses."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def served_weights(folder: Path) -> Path:
    """The bundle's weights as a server of its own serves them."""
    shutil.copytree(BUNDLE / "models", folder / "models")
    return folder / "models" / "model.pt"
