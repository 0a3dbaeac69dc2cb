"""Where each element of a DICOM file lies in its bytes, and how bytes are replaced so that the rest stays valid."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.uid import ImplicitVRLittleEndian

META_START = 132  # after the preamble and "DICM"
UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_ITEM = 0xFFFEE000


@dataclass(frozen=True)
class Element:
    """An element, or an item of a sequence (``vr`` is ``item`` then).

    Attributes:
        path: keywords from the top to this element, such as ``ROIContourSequence.ContourSequence.ContourData``.
        start: first byte of the tag.
        length_at: first byte of the length field, which has ``length_size`` bytes (2 or 4).
        value: first byte of the value. end: first byte after it.
        parents: sequences and items around it, outermost first.
    """

    path: str
    vr: str
    start: int
    length_at: int
    length_size: int
    value: int
    end: int
    parents: tuple[Element, ...] = ()

    @property
    def keyword(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def elements(data: bytes) -> list[Element]:
    """All elements and items of a valid little endian part 10 file, the file meta information included.

    Sequences must have defined lengths, as this package's writers and highdicom leave them.
    """
    (meta_length,) = struct.unpack_from("<I", data, META_START + 8)
    dataset_start = META_START + 12 + meta_length
    meta = list(_elements(data, META_START, dataset_start, False, "", ()))
    syntax = next(data[e.value : e.end] for e in meta if e.keyword == "TransferSyntaxUID").rstrip(b"\0").decode()
    return meta + list(_elements(data, dataset_start, len(data), syntax == ImplicitVRLittleEndian, "", ()))


def _elements(
    data: bytes, start: int, end: int, implicit: bool, prefix: str, parents: tuple[Element, ...]
) -> Iterator[Element]:
    while start < end:
        element = _element(data, start, end, implicit, prefix, parents)
        yield element
        if element.vr == "SQ":
            item_start = element.value
            while item_start < element.end:
                (length,) = struct.unpack_from("<I", data, item_start + 4)
                value, around = item_start + 8, (*parents, element)
                item = Element(element.path, "item", item_start, item_start + 4, 4, value, value + length, around)
                yield item
                yield from _elements(data, value, item.end, implicit, f"{element.path}.", (*around, item))
                item_start = item.end
        start = element.end


def _element(data: bytes, start: int, end: int, implicit: bool, prefix: str, parents: tuple[Element, ...]) -> Element:
    group, number = struct.unpack_from("<HH", data, start)
    tag = group << 16 | number
    path = prefix + (keyword_for_tag(tag) or f"{tag:08X}")
    vr = data[start + 4 : start + 6]
    if implicit:
        name, length_at, size = dictionary_VR(tag), start + 4, 4
    elif vr in _LONG_VRS:
        name, length_at, size = vr.decode(), start + 8, 4
    else:
        name, length_at, size = vr.decode(), start + 6, 2
    length = int.from_bytes(data[length_at : length_at + size], "little")
    value = length_at + size
    # Only encapsulated pixel data, which come last, have an undefined length here.
    return Element(path, name, start, length_at, size, value, end if length == UNDEFINED else value + length, parents)


def replace(data: bytes, start: int, end: int, new: bytes, around: tuple[Element, ...]) -> bytes:
    """Put ``new`` in the place of ``data[start:end]`` and correct the lengths of the elements around it."""
    out = bytearray(data)
    for element in around:
        length = int.from_bytes(data[element.length_at : element.length_at + element.length_size], "little")
        changed = (length + len(new) - (end - start)).to_bytes(element.length_size, "little")
        out[element.length_at : element.length_at + element.length_size] = changed
    out[start:end] = new
    return bytes(out)


def replace_value(data: bytes, element: Element, value: bytes) -> bytes:
    """Give an element another value, padded to an even length."""
    padding = b"\0" if element.vr in ("UI", "OB", "UN") else b" "
    new = value + padding * (len(value) % 2)
    return replace(data, element.value, element.end, new, (*element.parents, element))
