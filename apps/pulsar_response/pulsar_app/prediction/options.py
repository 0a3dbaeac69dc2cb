"""The parameters of an inference request: names, types and ranges; anything else is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from treatment_response.bands import COUNTS
from treatment_response.explain.cam import VARIANTS
from treatment_response.explain.target import TargetClass
from treatment_response.inference.volume_files import EXTENSIONS
from treatment_response.problems import DataProblem, Problem

CAMS = ("pixelwise", *(variant.name for variant in VARIANTS if variant.name != "pixelwise"))
SHOWN = ("predicted", TargetClass.RESPONSE.label, TargetClass.NON_RESPONSE.label)
MAX_CLICKS = 20
MAX_ROIS = 100
MAX_NAME = 64

NO_OPTIONS = frozenset({"datastore", "image", "label"})
"""What a task's request holds beside the parameters of its client."""
Reader = Callable[[Any], Any]
"""Gives the checked value of an option, or raises `WrongValue`."""

# What MONAI Label, its clients and its viewers put beside the options; it changes nothing here.
HARMLESS = frozenset(
    {"background", "client_id", "description", "device", "gpus", "image", "label", "label_tag", "labels", "logging"}
    | {"max_batch_size", "max_workers", "model", "multi_gpu", "output", "reset_state", "restore_label_idx"}
    | {"result_dtype", "result_write_to_file", "save_label", "slice", "timeout"}
)


@dataclass(frozen=True)
class InferOptions:
    """What a request asks for.

    Attributes:
        cam: the variant that is shown, one of :data:`CAMS`.
        shown: the class that the map explains: each lesion's predicted one, or the same for all.
        bands: number of bands in the label map.
        rois: names of the targets that are meant; empty for all that count by themselves.
        store: whether the results go into the archive.
        boost: whether the boost region goes there too.
        foreground: clicks as voxel indices ``(i, j, k)`` of the MR.
        result_extension: of the label map's file.
        result_compress: whether its data is compressed.
    """

    cam: str = CAMS[0]
    shown: str = SHOWN[0]
    bands: int = COUNTS[0]
    rois: tuple[str, ...] = ()
    store: bool = False
    boost: bool = False
    foreground: tuple[tuple[int, int, int], ...] = ()
    result_extension: str = EXTENSIONS[0]
    result_compress: bool = False


def parse(params: Mapping[str, Any]) -> InferOptions:
    """Check the parameters of a request, see `read_options`."""
    return InferOptions(**read_options(params, _READERS))


def read_options(params: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Check the parameters of a request; only those that were given are in the result.

    A list stands for its first element where one value is expected: Slicer sends a drop-down like that.

    Args:
        params: of the request.
        readers: by the name of each option, what checks its value.

    Raises:
        DataProblem: unknown names, wrong types, values out of range; all of them at once.
    """
    found: dict[str, Any] = {}
    problems = []
    for key, value in params.items():
        if key in HARMLESS or value is None:
            continue
        if key not in readers:
            problems.append(Problem(_short(key), "there is no such option", f"known are {', '.join(readers)}"))
            continue
        try:
            found[key] = readers[key](value)
        except WrongValue as error:
            problems.append(Problem(key, f"it is {_short(value)}", f"give {error}"))
    if problems:
        raise DataProblem(*problems)
    return found


def choices() -> dict[str, Any]:
    """The options as viewers show them: lists become drop-downs with the default first, booleans check boxes.

    Slicer's drop-downs hold texts only, so the number of bands is one.
    """
    return {
        "cam": list(CAMS),
        "shown": list(SHOWN),
        "bands": [str(count) for count in COUNTS],
        "rois": "",
        "store": False,
        "boost": False,
    }


class WrongValue(Exception):
    """What would have been right."""


def one_of(known: tuple[str, ...]) -> Reader:
    """A reader of a text that is one of these."""

    def read(value: Any) -> str:
        value = value[0] if isinstance(value, list) and value else value
        if value not in known:
            raise WrongValue(f"one of {', '.join(known)}")
        return str(value)

    return read


def band_count(value: Any) -> int:
    """The number of bands, as a number or a text."""
    value = value[0] if isinstance(value, list) and value else value
    wanted = {str(count): count for count in COUNTS}
    if isinstance(value, bool | float) or str(value) not in wanted:
        raise WrongValue(f"one of {', '.join(sorted(wanted))}")
    return wanted[str(value)]


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise WrongValue("true or false")
    return value


def _rois(value: Any) -> tuple[str, ...]:
    """Names, as a list or as one text with commas or semicolons between them (what a viewer's input field sends)."""
    names = value.replace(";", ",").split(",") if isinstance(value, str) else value
    right = f"up to {MAX_ROIS} names of at most {MAX_NAME} characters, as a list or with commas between them"
    if not isinstance(names, list) or len(names) > MAX_ROIS:
        raise WrongValue(right)
    if not all(isinstance(name, str) and len(name.strip()) <= MAX_NAME for name in names):
        raise WrongValue(right)
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _clicks(value: Any) -> tuple[tuple[int, int, int], ...]:
    right = f"up to {MAX_CLICKS} clicks [i, j, k], each a voxel of the MR counted from 0"
    if not isinstance(value, list) or len(value) > MAX_CLICKS:
        raise WrongValue(right)
    clicks = []
    for click in value:
        if not isinstance(click, list) or len(click) != 3:
            raise WrongValue(right)
        if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in click):
            raise WrongValue(right)
        if not all(0 <= part < 1e6 for part in click):  # false for NaN; `isfinite` fails on integers beyond float
            raise WrongValue(right)
        i, j, k = (round(part) for part in click)
        clicks.append((i, j, k))
    return tuple(dict.fromkeys(clicks))


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"


_READERS: dict[str, Reader] = {
    "cam": one_of(CAMS),
    "shown": one_of(SHOWN),
    "bands": band_count,
    "rois": _rois,
    "store": flag,
    "boost": flag,
    "foreground": _clicks,
    "result_extension": one_of(EXTENSIONS),
    "result_compress": flag,
}
