"""One image of the datastore with its targets: from the PACS, a saved label, or a label sent along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from treatment_response.cohort.label_map import read_label_map
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.targets import (
    Target,
    find_targets,
    mask_targets,
    reason_by_name,
    unreadable_target,
    without_repeats,
)
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

from pulsar_app.studies.datastore import FolderDatastore, PacsDatastore
from pulsar_app.studies.first_mri import days_after_treatment, is_later_session
from pulsar_app.studies.found_targets import FoundTargets
from pulsar_app.studies.pacs import Recent
from pulsar_app.studies.safe_datastore import OpenedImage, file_version
from pulsar_app.studies.sent_image import SentImage

_CONTRAST = "_ce-"  # BIDS
_KINDS = {"RTPLAN": "treatment plan", "RTDOSE": "dose", "RTRECORD": "treatment record", "RTSTRUCT": "structure set"}
_SENT = "sent label"
_ELSEWHERE = "outlines of another study"
_NOT_CHOSEN = "not chosen in this request"


@dataclass(frozen=True)
class Study:
    """One MR of the datastore, with what is known of it.

    Attributes:
        source: None for a folder of NIfTI.
        targets: those to predict and those only listed (``listed_because``); may be empty.
        notes: structure sets and ROIs that were left out, and why.
        warnings: what a reader of any result on this MR must know.
        key: changes when the MR changes.
        sent: why a label that was sent along was not predicted, and what to do; empty if it was, or there is none.
    """

    image_id: str
    volume: Volume
    source: MrSource | None
    targets: tuple[Target, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    key: str
    sent: str = ""


def find(
    datastore: PacsDatastore | FolderDatastore | SentImage,
    image_id: str,
    label: Path | None = None,
    rois: Sequence[str] | None = None,
) -> Study:
    """Find an image and its targets.

    Structure sets and segmentations come first, those of the study and those of the patient's other studies that refer
    to the image; what was saved through this server on a PACS is one of them. Then comes a label saved in a folder (or
    the masks of a prepared data set), then a label sent with the request. Where an earlier kind has a target to
    predict, the later kinds are only listed. In a label map each value is a lesion; where it has one value only, parts
    more than 5 mm apart are lesions of their own, so that islands around necrosis stay together.

    Args:
        label: label map (NIfTI or NRRD) on the image's grid.
        rois: names of the targets to predict, listed ones too; None is all that are to be predicted by the rules.

    Raises:
        NotFound: no such image.
        DataProblem: an image that cannot be used, a label on another grid, or a name that no target has.
    """
    image = datastore.open_image(image_id)
    picked = tuple(rois or ())
    targets: list[Target] = []
    notes: list[str] = []
    if image.source is not None:
        drawn = _drawn(image, image.source, picked, datastore.targets)
        targets, notes = list(drawn.targets), list(drawn.notes)
        elsewhere = [unreadable_target(_ELSEWHERE, why, image.volume, "PACS") for why in image.unread]
        targets = without_repeats([*targets, *elsewhere]) if elsewhere else targets
    saved = _saved(image, datastore.targets, notes)
    targets = _append(targets, saved, "it was saved in the datastore, and the study has outlines")
    if label is not None:
        sent = _from_label_map(image.volume, label, (), _SENT)
        targets = _append(targets, sent, "it was sent along, and the image has outlines")
    if picked:
        targets = _pick(targets, picked)
    sent_because = "" if label is None else _unused(targets)
    return replace(without_targets(image), targets=tuple(targets), notes=tuple(notes), sent=sent_because)


def without_targets(image: OpenedImage) -> Study:
    """An image and what its headers or its name say of it, for lesions that come from elsewhere."""
    return Study(image.image_id, image.volume, image.source, (), (), tuple(_warnings(image)), image.key)


def _drawn(image: OpenedImage, source: MrSource, picked: tuple[str, ...], kept: Recent[FoundTargets]) -> FoundTargets:
    """Targets of the structure sets and segmentations."""

    def search() -> FoundTargets:
        targets, notes = find_targets(source, image.objects, picked)
        return FoundTargets(tuple(targets), tuple(notes), image.objects)

    # Of an unchanged object the PACS's reader gives the same data set, of a changed one another.
    return kept.get((image.key, tuple(map(id, image.objects)), picked), search)


def _append(targets: list[Target], more: Iterable[Target], why_listed: str) -> list[Target]:
    """Later kinds of outlines: to be predicted only where there is none to predict yet."""
    there = any(not target.listed_because for target in targets)
    added = [replace(one, listed_because=one.listed_because or (why_listed if there else "")) for one in more]
    return without_repeats([*targets, *added]) if added else targets


def _unused(targets: Sequence[Target]) -> str:
    """What to say when nothing of a label that was sent along is predicted."""
    sent = [target for target in targets if target.source == _SENT]
    if not sent:
        return "The label that was sent is empty: draw the lesion in it."
    if any(not target.listed_because for target in sent):
        return ""
    names = ", ".join(f"'{target.name}'" for target in sent)
    return (
        f"The drawing that was sent was not used ({sent[0].listed_because}); to predict it, name it in rois: {names}."
    )


def _saved(image: OpenedImage, kept: Recent[FoundTargets], notes: list[str]) -> list[Target]:
    """Targets of the label that a user saved, else of a prepared data set's masks."""
    label = image.label
    if label is not None and label.sop_uid:
        # It is one of the archive's objects, which counts as such.
        if not any(str(one.get("SOPInstanceUID")) == label.sop_uid for one in image.objects):
            notes.append("The saved label was left out: the PACS no longer holds it; save it again if it is right.")
        return []
    if label is not None and label.left_out:
        notes.append(f"The saved label was left out: {label.left_out}.")
    elif label is not None:
        key = (image.key, label.version, label.names)
        found = kept.get(
            key, lambda: FoundTargets(tuple(_from_label_map(image.volume, label.path, label.names, "saved label")))
        )
        return list(found.targets)
    targets: list[Target] = []
    for lesion, path in image.masks.items():
        found = kept.get((image.key, file_version(path), lesion), partial(_from_mask, image.volume, path, lesion))
        targets += found.targets
        notes += found.notes
    return targets


def _from_mask(volume: Volume, path: Path, lesion: str) -> FoundTargets:
    values = read_label_map(path, volume, f"mask of {lesion}")
    notes = () if values else (f"{lesion} was left out: its mask is empty.",)
    targets = [target for mask in values.values() for target in mask_targets(lesion, mask, volume, "saved label")]
    return FoundTargets(tuple(targets), notes)


def _from_label_map(volume: Volume, path: Path, names: Sequence[str], source: str) -> list[Target]:
    values = read_label_map(path, volume, f"the {source}")
    found: list[Target] = []
    for index, (value, mask) in enumerate(values.items()):
        given = names[index].strip() if index < len(names) else ""
        # A label is drawn to be predicted: a name that says nothing is no reason against it, one that says edema is.
        reason = reason_by_name(given) if given else ""
        reason = "" if reason.startswith("its name does not say") else reason
        found += mask_targets(
            given or f"label {value}", mask, volume, source, reason, split=len(values) == 1, by_hand=True
        )
    return found


def _pick(targets: Sequence[Target], picked: Sequence[str]) -> list[Target]:
    """The user's choice: those named are predicted, all others are listed."""
    wanted = {name.strip().casefold() for name in picked}
    known = {target.name.casefold() for target in targets}
    if unknown := [name for name in picked if name.strip().casefold() not in known]:
        names = ", ".join(f"'{target.name}'" for target in targets) or "none"
        what = f"the image has no target {', '.join(map(repr, unknown))}"
        raise DataProblem(Problem("rois", what, f"choose among its targets: {names}"))
    unusable = [target for target in targets if target.unreadable and target.name.casefold() in wanted]
    if unusable:
        problems = [
            (f"'{one.name}' cannot be predicted: {one.listed_because}", "correct the outline") for one in unusable
        ]
        raise DataProblem(*(Problem("rois", *problem) for problem in problems))
    return [
        replace(target, listed_because="")
        if target.name.casefold() in wanted
        else replace(target, listed_because=target.listed_because or _NOT_CHOSEN)
        for target in targets
    ]


def _warnings(image: OpenedImage) -> list[str]:
    """What the image's headers, or its BIDS name, say against using it."""
    found = []
    if image.source is None:
        if is_later_session(image.image_id):
            found.append("The MR is not from before treatment (MRI 1), which the model predicts from.")
        if _CONTRAST not in image.image_id:
            found.append("The file's name does not say that the MR is a T1 with contrast, which the model needs.")
        return found
    if image.source.contrast is not True:
        said = "no contrast was given" if image.source.contrast is False else "nothing about contrast"
        found.append(f"The MR's headers say {said}; the model needs a T1 with contrast.")
    if image.source.t1 is not True:
        said = "that it is no T1" if image.source.t1 is False else "nothing about T1 weighting"
        found.append(f"The MR's headers say {said}; the model needs a T1 with contrast.")
    return found + _after_treatment(image)


def _after_treatment(image: OpenedImage) -> list[str]:
    """A warning if the patient has a plan, dose or record from before the MR, or a structure set well before it."""
    date = image.source.date if image.source else None
    if date is None:
        return ["The MR has no date, so it is not known whether it is from before treatment."]
    longest = days_after_treatment(date, image.treated)
    if not longest:
        return []
    told = ", ".join(
        f"a {_KINDS[modality]} {days} day{'s' if days > 1 else ''} older" for modality, days in sorted(longest.items())
    )
    return [f"The MR may be from after treatment, the model predicts from before it: the patient has {told}."]
