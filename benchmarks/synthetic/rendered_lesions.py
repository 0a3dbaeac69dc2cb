"""Synthetic lesions rendered in memory and preprocessed as the bundle does: for sets too large to go through DICOM."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from treatment_response.cases.load_samples import samples_of_copy
from treatment_response.cases.samples import MRI1, SampleRow, Samples
from treatment_response.cohort.synthetic.render import render_session
from treatment_response.cohort.synthetic.simulate import Patient, SyntheticCohort, simulate_cohort
from treatment_response.configs import read_configs
from treatment_response.evaluation.niche import cell_fractions
from treatment_response.evaluation.views import LesionSlice
from treatment_response.files import whole_file
from treatment_response.geometry import Volume, rasterise
from treatment_response.processes import worker_pool
from treatment_response.stopping import prepare_worker

LESIONS_PER_PATIENT = 69 / 39
CHUNK_PATIENTS = 4
_worker: dict[str, Any] = {}
RenderedSample = tuple[np.ndarray, SampleRow, np.ndarray]
"""A sample's image, its row and the niche fraction of its cells."""


@dataclass(frozen=True)
class LesionSet:
    """A synthetic set of lesions at MRI 1.

    Attributes:
        name: prefix of the patients' ids and name of the cache.
        lesions: how many; patients have as many each as in the default cohort, on average.
        seed: of the simulation. niche: ``texture`` or ``intensity``.
        angles: degrees of the turned copies beside each lesion as it is.
        overlays: configs on top of ``train.json``, whose transforms cut the lesions.
    """

    name: str
    lesions: int
    seed: int
    niche: str
    angles: tuple[float, ...] = ()
    overlays: tuple[str, ...] = ()


@dataclass(frozen=True)
class RenderedLesions:
    """Rendered samples and what is planted in them.

    Attributes:
        samples: in the order of the patients, each lesion's slices followed by its turned copies; fold 0.
        niche: ``(N, 16, 16)`` float32, niche fraction of each sample's cells (`evaluation.niche`).
    """

    samples: Samples
    niche: np.ndarray


def rendered_samples(
    wanted: LesionSet, cache: Path, workers: int = 2, advance: Callable[[int, int], None] | None = None
) -> Samples:
    """The samples of `rendered_lesions`."""
    return rendered_lesions(wanted, cache, workers, advance).samples


def rendered_lesions(
    wanted: LesionSet, cache: Path, workers: int = 2, advance: Callable[[int, int], None] | None = None
) -> RenderedLesions:
    """Render, preprocess and keep a set of lesions; read it back if `cache` has it.

    Args:
        wanted: what to render.
        cache: folder of the ``.npz`` files.
        workers: processes with one thread each.
        advance: called with (patients done, patients in all).
    """
    path = cache / "_".join((wanted.name, wanted.niche, *(Path(name).stem for name in wanted.overlays)))
    path = path.with_suffix(".npz")
    about_rows = [field.name for field in fields(SampleRow)]
    config = _preprocessing_config(wanted.overlays)
    made = json.dumps({**asdict(wanted), "config": config, "rows": about_rows}, sort_keys=True)
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["made"]) == made:
                rows = [SampleRow(**row) for row in json.loads(str(stored["rows"]))]
                return RenderedLesions(Samples(torch.from_numpy(stored["image"]), rows), stored["niche"])
    patients = round(wanted.lesions / LESIONS_PER_PATIENT)
    chunks = [range(first, min(first + CHUNK_PATIENTS, patients)) for first in range(0, patients, CHUNK_PATIENTS)]
    parts: list[RenderedSample] = []
    done = 0
    with worker_pool(workers, [__name__], _start, wanted, patients) as pool:
        for chunk, rendered in zip(chunks, pool.map(_render_chunk, chunks), strict=True):
            parts += rendered
            done += len(chunk)
            if advance is not None:
                advance(done, patients)
    images, rendered_rows, niches = zip(*parts, strict=True)
    rows = list(rendered_rows)
    stacked, niche = np.stack(images), np.stack(niches)
    told = json.dumps([asdict(row) for row in rows])
    with whole_file(path) as partial:
        np.savez_compressed(partial, image=stacked, niche=niche, rows=told, made=made)
    return RenderedLesions(Samples(torch.from_numpy(stacked), rows), niche)


def first_lesions(samples: Samples, count: int) -> Samples:
    """The first `count` lesions with their turned copies: small sets are parts of the larger ones."""
    order = list(dict.fromkeys((row.subject, row.case) for row in samples.rows))
    chosen = set(order[:count])
    return samples.where(lambda row: (row.subject, row.case) in chosen)


def as_fold(samples: Samples, fold: int) -> Samples:
    """The same samples in another fold."""
    return Samples(samples.image, [replace(row, fold=fold) for row in samples.rows])


def joined(first: Samples, second: Samples) -> Samples:
    """Both, one after the other."""
    return Samples(torch.cat([first.image, second.image]), first.rows + second.rows)


def preprocess_patient(
    cohort: SyntheticCohort, patient: Patient, prefix: str, angles: tuple[float, ...], parser: ConfigParser
) -> list[RenderedSample]:
    """Render MRI 1 of a patient and cut every lesion with the config's own transforms: one slice, or all of them."""
    on_image, on_patch = _from_memory(parser, "image_transforms"), _from_memory(parser, "patch_transforms")
    session = render_session(cohort, patient, 0)
    subject = f"{prefix}-{patient.index + 1:03d}"
    volume = on_image({"image": _tensor(session.image), "subject": subject})["image"]
    result = []
    for lesion in patient.lesions:
        mask = rasterise(session.contours[lesion.roi_name], session.image.affine, session.image.array.shape)
        sample = {"image": volume, "mask": _tensor(Volume(mask, session.image.affine)), "subject": subject}
        for angle in (0.0, *angles):
            cut = on_patch({**sample, "lesion": lesion.lesion, "angle": angle})
            row = SampleRow(subject, lesion.lesion, MRI1, 0, lesion.label, angle)
            samples = samples_of_copy(cut, row)
            affine = cut["affine"] if "affine" in cut else cut["image"].affine
            affines = np.asarray(affine, dtype=np.float64).reshape(-1, 4, 4)
            for (image, own), where in zip(samples, affines, strict=True):
                x = np.asarray(image)
                one = LesionSlice(subject, lesion.lesion, MRI1, lesion.label, x, where)
                fractions = cell_fractions(one, session.niches[lesion.lesion]).astype(np.float32)
                result.append((x, own, fractions))
    return result


def _from_memory(parser: ConfigParser, name: str) -> Compose:
    """A list of the config without the reading of files, which are in memory here."""
    indices = [i for i, item in enumerate(parser[name]) if item["_target_"] != "LoadImaged"]
    return Compose([parser.get_parsed_content(f"{name}#{index}") for index in indices])


def _preprocessing_config(overlays: tuple[str, ...]) -> dict[str, Any]:
    parser = read_configs(("train.json", *overlays))
    return {key: parser[key] for key in ("image_transforms", "patch_transforms", "patch_size", "pixel")}


def _tensor(volume: Volume) -> MetaTensor:
    return MetaTensor(torch.from_numpy(volume.array.astype(np.float32))[None], affine=torch.from_numpy(volume.affine))


def _start(wanted: LesionSet, patients: int) -> None:
    prepare_worker()
    torch.set_num_threads(1)
    _worker["set"] = wanted
    _worker["cohort"] = simulate_cohort(patients, wanted.lesions, wanted.seed, niche=wanted.niche)
    _worker["parser"] = read_configs(("train.json", *wanted.overlays))


def _render_chunk(chunk: range) -> list[RenderedSample]:
    wanted, cohort = _worker["set"], _worker["cohort"]
    return [
        part
        for index in chunk
        for part in preprocess_patient(cohort, cohort.patients[index], wanted.name, wanted.angles, _worker["parser"])
    ]
