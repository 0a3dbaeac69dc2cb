"""One slice with its map, a legend and perhaps a lesion's outline, as pixels that any viewer shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, binary_erosion, map_coordinates

from treatment_response.class_colours import OUTLINE, opacity, rgb, shade
from treatment_response.geometry import Volume
from treatment_response.geometry.slice_patch import Plane, axial_plane

WIDTH, HEIGHT = 960, 720
_VIEW = 448  # pixels of a view's side
_TOP, _LEFTS = 44, (16, 496)
_ZOOM = 2.5  # the second view's side in the lesion's extent
_LEAST_MM = 40.0
_BACKGROUND, _TEXT, _WARNING = (16, 19, 28), (238, 238, 238), (255, 212, 0)
_BAR = (496, 566, 448, 18)  # left, top, width, height of the colour scale
_LINE = 22


@dataclass(frozen=True)
class Legend:
    """The words of a picture.

    Attributes:
        notice: at the top, such as ``RESEARCH ONLY``.
        lines: below the views, at most seven of about 50 characters.
        scale: what the colour scale from 0 to 1 means, at most two lines.
    """

    notice: str
    lines: Sequence[str]
    scale: Sequence[str]


def draw_lesion(
    image: Volume, cam: np.ndarray, mask: np.ndarray, slice_index: int, colour_number: int, legend: Legend
) -> np.ndarray:
    """Draw the whole slice, and beside it the lesion larger, as on a reading screen: the patient's right is left.

    The map covers the MR as strongly as its value says, voxel by voxel; where it is zero the MR stays grey.

    Args:
        image: the MR ``(I, J, K)``.
        cam: scaled map on its grid, in [0, 1].
        mask: bool, the lesion on its grid; not empty in the slice.
        slice_index: of the slice, along the MR's axis closest to superior.
        colour_number: of the map, see :func:`~treatment_response.class_colours.colour_numbers`.
        legend: the words.

    Returns:
        ``(HEIGHT, WIDTH, 3)`` uint8.
    """
    return _draw(image, cam, mask, mask, slice_index, colour_number, legend)


def draw_case(image: Volume, cam: np.ndarray, slice_index: int, colour_number: int, legend: Legend) -> np.ndarray:
    """Draw the whole slice, and beside it the place of the strongest evidence larger; nothing is outlined.

    Arguments and result are those of `draw_lesion`. Of a slice without evidence both views show the whole.
    """
    slice_axis = axial_plane(image.affine).slice_axis
    in_slice = np.take(cam, slice_index, axis=slice_axis)
    strong = in_slice >= in_slice.max() / 2  # everywhere, where there is no evidence
    place = np.broadcast_to(np.expand_dims(strong, slice_axis), cam.shape)
    return _draw(image, cam, place, np.zeros(cam.shape, bool), slice_index, colour_number, legend)


def _draw(
    image: Volume,
    cam: np.ndarray,
    place: np.ndarray,
    outlined: np.ndarray,
    slice_index: int,
    colour_number: int,
    legend: Legend,
) -> np.ndarray:
    """The picture; the second view is around `place`, which is not empty in the slice."""
    plane = axial_plane(image.affine)
    order = (*plane.axes, plane.slice_axis)
    grey, values, outline, focus = (
        np.transpose(array, order)[:, :, slice_index] for array in (image.array, cam, outlined, place)
    )
    low, high = np.percentile(grey, (1, 99.5))
    grey = (grey.astype(np.float32) - low) / max(float(high - low), 1e-6)
    extent = np.array(grey.shape) * np.abs(plane.steps)
    inside = np.argwhere(focus)
    size = float(((np.ptp(inside, axis=0) + 1) * np.abs(plane.steps)).max())
    views = (
        ((np.array(grey.shape) - 1) / 2, float(extent.max())),
        ((inside.min(axis=0) + inside.max(axis=0)) / 2, max(_ZOOM * size, _LEAST_MM)),
    )
    canvas = Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    for left, (centre, side) in zip(_LEFTS, views, strict=True):
        index = _index(centre, side, plane)
        base, map_values, inside_share = (
            _sampled(array, index, spline) for array, spline in ((grey, 1), (values, 0), (outline, 1))
        )
        pixels = _view(base, map_values, inside_share > 0.5, colour_number)
        canvas.paste(Image.fromarray(pixels), (left, _TOP))
        _letters(pen, left, plane)
    _ruler(pen, _LEFTS[1], views[1][1])
    pen.text((16, 10), legend.notice, _WARNING, _font(20))
    for number, line in enumerate(legend.lines):
        pen.text((16, _TOP + _VIEW + 16 + number * (_LINE + 6)), line, _TEXT, _font(18))
    _colour_scale(pen, colour_number, legend.scale)
    return np.asarray(canvas)


def patient_orientation(image: Volume) -> tuple[str, str]:
    """The letters of the patient's direction along a picture's rows and down its columns, such as ``L`` and ``P``."""
    right, anterior = axial_plane(image.affine).directions
    return _letter(-right), _letter(-anterior)


def _index(centre: np.ndarray, side: float, plane: Plane) -> np.ndarray:
    """The slice's indices ``(2, rows, columns)`` under the pixels of a square view of ``side`` mm."""
    offsets = ((np.arange(_VIEW) + 0.5) / _VIEW - 0.5) * side
    down, across = np.meshgrid(-offsets, -offsets, indexing="ij")  # a screen runs to the patient's left and back
    return np.stack([centre[0] + across / plane.steps[0], centre[1] + down / plane.steps[1]])


def _sampled(array: np.ndarray, index: np.ndarray, order: int) -> np.ndarray:
    return map_coordinates(array.astype(np.float32), index, order=order, mode="constant", cval=0.0)


def _view(grey: np.ndarray, values: np.ndarray, inside: np.ndarray, colour_number: int) -> np.ndarray:
    """Pixels ``(rows, columns, 3)`` uint8 of one view."""
    cover = opacity(values)[..., None]
    base = 255 * np.repeat(grey.clip(0, 1)[..., None], 3, axis=-1)
    pixels = (1 - cover) * base + cover * shade(values, colour_number)
    edge = binary_dilation(inside) & ~binary_erosion(inside)
    pixels[binary_dilation(edge) & ~inside] = 0
    pixels[edge] = rgb(OUTLINE)
    return pixels.round().astype(np.uint8)


def _letters(pen: ImageDraw.ImageDraw, left: int, plane: Plane) -> None:
    right, anterior = plane.directions
    middle_x, middle_y, end = left + _VIEW // 2, _TOP + _VIEW // 2, _VIEW - 4
    for direction, place, anchor in (
        (right, (left + 4, middle_y), "lm"),
        (-right, (left + end, middle_y), "rm"),
        (anterior, (middle_x, _TOP + 4), "mt"),
        (-anterior, (middle_x, _TOP + end), "mb"),
    ):
        pen.text(place, _letter(direction), _WARNING, _font(20), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _letter(direction: np.ndarray) -> str:
    """The side of the patient that a direction (RAS) points to most."""
    axis = int(np.argmax(np.abs(direction)))
    return "RAS"[axis] if direction[axis] > 0 else "LPI"[axis]


def _ruler(pen: ImageDraw.ImageDraw, left: int, side: float) -> None:
    """A line of 10 mm in the corner of a view of ``side`` mm."""
    length, x, y = _VIEW * 10 / side, left + 12, _TOP + _VIEW - 12
    pen.line((x, y, x + length, y), _TEXT, 3)
    pen.text((x, y - 6), "10 mm", _TEXT, _font(14), anchor="lb", stroke_width=2, stroke_fill=(0, 0, 0))


def _colour_scale(pen: ImageDraw.ImageDraw, colour_number: int, words: Sequence[str]) -> None:
    left, top, width, height = _BAR
    # Over mid grey, and as strong as on the MR.
    values = (np.arange(width) + 0.5) / width
    cover = opacity(values)[:, None]
    colours = (1 - cover) * 128 + cover * shade(values, colour_number)
    for x, colour in enumerate(colours.round().astype(int)):
        pen.line((left + x, top, left + x, top + height), tuple(int(channel) for channel in colour))
    for share in (0.0, 0.5, 1.0):
        pen.text((left + share * width, top - 6), f"{share:g}", _TEXT, _font(16), anchor="mb")
    for number, line in enumerate(words):
        pen.text((left, top + height + 8 + number * _LINE), line, _TEXT, _font(16))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
