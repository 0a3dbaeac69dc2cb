"""Where the elements of a DICOM file begin and end, checked to the last byte.

pydicom reads what it can and goes on: where bytes are missing, items turn up at the wrong place without a word. This
module stops at the first element that cannot be right (PS3.5, sections 7.1, 7.5 and A.4). Values are left to pydicom.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

MAX_INFLATED = 256 << 20
"""Bytes that a deflated file may inflate to."""
_MAX_KEPT = 256 << 20  # bytes of all kept elements
_MAX_VALUE = 1 << 20  # bytes of a kept value that is no sequence
_MAX_ELEMENTS = 4_000_000
_MAX_DEPTH = 16
_GZIP_TRAILER = 8  # bytes of checksum and size that some writers leave behind a deflated data set

_SHORT = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_16)
_LONG = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32)
_KNOWN_VRS = _SHORT | _LONG
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_MOST_PADDING = 1 << 16  # some archives fill up a file's last block
_TRUNCATED = "ends early: it is truncated"


class Damage(Exception):
    """What is wrong with a file's structure, as the end of "the file …"."""


class NotDicom(Exception):
    """The bytes are no DICOM at all."""


@dataclass(frozen=True)
class PixelElement:
    """The element with the pixel data.

    Attributes:
        keyword: ``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``.
        length: bytes of the value; of all fragments where it is encapsulated.
        fragments: number of fragments without the offset table; None where it is not encapsulated.
    """

    keyword: str
    length: int
    fragments: int | None = None


@dataclass
class FileStructure:
    """The elements of a file.

    Attributes:
        meta: the file meta information.
        dataset: the wanted elements, raw, so that pydicom decodes them when asked; those before the damage.
        tags: all tags of the outer data set.
        pixels: None if there are none.
        damage: what is wrong with the structure, as the end of "the file …"; empty if nothing is.
        padding: zero bytes after the last element, which mean nothing.
    """

    meta: Dataset = field(default_factory=Dataset)
    dataset: Dataset = field(default_factory=Dataset)
    tags: set[int] = field(default_factory=set)
    pixels: PixelElement | None = None
    damage: str = ""
    padding: int = 0


@dataclass(frozen=True)
class _Encoding:
    implicit: bool
    little: bool


_EXPLICIT_LITTLE = _Encoding(False, True)
_IMPLICIT_LITTLE = _Encoding(True, True)


def read_structure(file: BinaryIO, size: int, wanted: Collection[int]) -> FileStructure:
    """Find the elements of a file, and check that each fits into its item, its sequence and the file.

    Pixel data and elements that are not wanted are stepped over, so that time and memory are bounded.

    Args:
        file: at its start.
        size: bytes of the file.
        wanted: tags of the outer data set that are kept.

    Raises:
        NotDicom: there is neither a preamble nor a data set at the start.
    """
    head = file.read(140)
    start = 132 if head[128:132] == b"DICM" else 0
    if not start and head[:2] != b"\2\0" and _sniff(head[:8]) is None:
        raise NotDicom
    found = FileStructure()
    file.seek(start)
    try:
        if head[start : start + 2] == b"\2\0":
            _Walk(file, size, _EXPLICIT_LITTLE, range(0x00020000, 0x00030000), found.meta).group_2()
            found.meta = _decoded_meta(found.meta)
        _read_dataset(file, size, wanted, found)
    except Damage as error:
        found.damage = str(error)
    return found


def _decoded_meta(meta: Dataset) -> Dataset:
    """The file meta information with every element decoded: later steps, and pydicom itself, ask for its UIDs.

    Raises:
        Damage: one cannot be decoded.
    """
    try:
        meta.decode()
        return Dataset({element.tag: element for element in meta})
    except Exception:  # pydicom raises many kinds for damaged values
        raise Damage("is damaged (its file meta information cannot be decoded)") from None


def inflate(deflated: bytes) -> bytes:
    """Inflate a deflated data set, within ``MAX_INFLATED``.

    Raises:
        Damage: it cannot be inflated, ends early, or inflates to more than the limit.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(deflated, MAX_INFLATED)
    except zlib.error:
        raise Damage("is damaged (it says that it is deflated, and cannot be inflated)") from None
    if len(inflated) >= MAX_INFLATED:
        raise Damage(f"inflates to more than {MAX_INFLATED >> 20} MB, so it was not read")
    if not stream.eof:
        raise Damage(_TRUNCATED)
    if len(stream.unused_data) > _GZIP_TRAILER:
        raise Damage("is damaged (bytes follow after its end)")
    return inflated


def _read_dataset(file: BinaryIO, size: int, wanted: Collection[int], found: FileStructure) -> None:
    stated = found.meta.get("TransferSyntaxUID")
    if stated == DeflatedExplicitVRLittleEndian:
        inflated = inflate(file.read(MAX_INFLATED))
        file, size = BytesIO(inflated), len(inflated)
    start = file.tell()
    encoding = _sniff(file.read(8))
    file.seek(start)
    if encoding is None:
        raise Damage(_TRUNCATED if size - start < 8 else "is damaged (no data set where it should begin)")
    used = (encoding.implicit, encoding.little)
    found.dataset.is_implicit_VR, found.dataset.is_little_endian = used
    walk = _Walk(file, size, encoding, wanted, found.dataset)
    try:
        walk.outer()
    finally:
        found.tags, found.pixels = walk.tags, walk.pixels
        found.padding = 0 if stated == DeflatedExplicitVRLittleEndian else walk.padding
    found.damage = walk.damage
    if stated and used != (stated == ImplicitVRLittleEndian, stated != ExplicitVRBigEndian):
        words = f"{'implicit' if encoding.implicit else 'explicit'} VR, {'little' if encoding.little else 'big'} endian"
        found.damage = f"is in another transfer syntax than it states ({words})"


def _sniff(start: bytes) -> _Encoding | None:
    """The encoding of a data set by its first element, which is of a group up to 0010; None if it is none."""
    if len(start) < 8:
        return None
    little = start[1] == 0 and 0 < start[0] <= 0x10
    big = start[0] == 0 and 0 < start[1] <= 0x10
    if little == big:
        return None
    return _Encoding(not (start[4:6].isalpha() and start[4:6].isupper()), little)


class _Walk:
    """Steps from element to element."""

    def __init__(
        self, file: BinaryIO, size: int, encoding: _Encoding, wanted: Collection[int], dataset: Dataset
    ) -> None:
        self.tags: set[int] = set()
        self.pixels: PixelElement | None = None
        self.padding = 0
        self.damage = ""  # what is wrong, and still lets the walk go on
        self._file, self._size, self._encoding = file, size, encoding
        self._wanted, self._dataset = wanted, dataset
        self._kept = self._elements = 0

    def group_2(self) -> None:
        """Keep the elements of the file meta information."""
        while True:
            start = self._file.tell()
            group = self._file.read(2)
            self._file.seek(start)
            if group != b"\2\0":
                return
            self._outer_element(last=-1)

    def outer(self) -> None:
        """Walk through the outer data set and keep what is wanted."""
        last = -1
        while self._file.tell() < self._size:
            if last >= 0 and (padding := self._only_zeros()):
                self.padding = padding
                return
            last = self._outer_element(last)

    def _only_zeros(self) -> int:
        """How many bytes are left, if all of them are zero and few; else 0. The place in the file stays."""
        start = self._file.tell()
        if self._file.read(4).strip(b"\0"):  # asked before every element: most begin with a tag
            self._file.seek(start)
            return 0
        self._file.seek(start)
        rest = self._file.read(min(self._size - start, _MOST_PADDING + 1))
        self._file.seek(start)
        return len(rest) if len(rest) <= _MOST_PADDING and not rest.strip(b"\0") else 0

    def _outer_element(self, last: int) -> int:
        tag, vr, length = self._header(self._encoding, self._size)
        self._check_order(tag, last)
        self.tags.add(tag)
        start = self._file.tell()
        if tag in _PIXELS:
            self._pixels(tag, length)
            return tag
        end = self._value(tag, vr, length, self._size, self._encoding, 0)
        if tag in self._wanted:
            self._keep(tag, vr, start, end)
        return tag

    def _keep(self, tag: int, vr: bytes, start: int, end: int) -> None:
        self._kept += end - start
        if end - start > _MAX_VALUE and not _is_sequence(tag):
            raise Damage(f"is damaged (a header value of {end - start} bytes)")
        if self._kept > _MAX_KEPT:
            raise Damage(f"has a header of more than {_MAX_KEPT >> 20} MB, so it was not read")
        after = self._file.tell()
        self._file.seek(start)
        value = self._file.read(end - start)
        self._file.seek(after)
        implicit = self._encoding.implicit
        name = None if implicit else vr.decode("ascii", "replace")
        if not implicit and (vr not in _KNOWN_VRS or (vr == b"UN" and _is_sequence(tag))):
            name, implicit = _dictionary_vr(tag), vr == b"UN"
        raw = RawDataElement(Tag(tag), name, len(value), value, start, implicit, self._encoding.little)
        self._dataset[tag] = raw

    def _check_order(self, tag: int, last: int) -> None:
        if tag >> 16 == 0xFFFE:
            raise Damage("is damaged (an item lies outside its sequence)")
        if tag <= last:
            raise Damage("is damaged (its elements are not in the order of their tags)")
        self._elements += 1
        if self._elements > _MAX_ELEMENTS:
            raise Damage(f"holds more than {_MAX_ELEMENTS} elements, so it was not read")

    def _header(self, encoding: _Encoding, limit: int) -> tuple[int, bytes, int]:
        """Tag, value representation (empty if it is implicit) and length of the element that begins here."""
        order = "<" if encoding.little else ">"
        if limit - self._file.tell() < 8 or len(start := self._file.read(8)) < 8:
            raise self._beyond(limit)
        group, element = struct.unpack(order + "HH", start[:4])
        tag = group << 16 | element
        vr = b"" if encoding.implicit or group == 0xFFFE else start[4:6]
        if not vr:
            return tag, vr, struct.unpack(order + "I", start[4:])[0]
        if vr in _LONG:
            if limit - self._file.tell() < 4:
                raise self._beyond(limit)
            return tag, vr, struct.unpack(order + "I", self._file.read(4))[0]
        if vr not in _SHORT:
            self.damage = self.damage or "is damaged (an element has an unknown value representation)"
        return tag, vr, struct.unpack(order + "H", start[6:])[0]

    def _beyond(self, limit: int) -> Damage:
        return Damage(_TRUNCATED if limit == self._size else "is damaged (an element reaches beyond its item)")

    def _value(self, tag: int, vr: bytes, length: int, limit: int, encoding: _Encoding, depth: int) -> int:
        """Step over a value, through all items if it is a sequence. Returns where the value ends."""
        start = self._file.tell()
        if length != _UNDEFINED:
            end = start + length
            if end > limit:
                raise self._beyond(limit)
            if vr == b"SQ" or (vr in (b"", b"UN") and _is_sequence(tag)):
                # PS3.5, 6.2.2: what was written as unknown is implicit inside.
                self._items(end, end, _IMPLICIT_LITTLE if vr == b"UN" else encoding, depth + 1)
            self._file.seek(end)
            return end
        if vr not in (b"", b"SQ", b"UN"):
            raise Damage("is damaged (an element without a length is no sequence)")
        return self._items(None, limit, _IMPLICIT_LITTLE if vr == b"UN" else encoding, depth + 1)

    def _items(self, end: int | None, limit: int, encoding: _Encoding, depth: int) -> int:
        """Step through the items of a sequence. Returns where they end, before the delimiter if there is one."""
        if depth > _MAX_DEPTH:
            raise Damage(f"nests sequences more than {_MAX_DEPTH} deep, so it was not read")
        while (start := self._file.tell()) != end:
            tag, _, length = self._header(encoding, limit)
            if tag == _SEQUENCE_END and end is None and length == 0:
                return start
            if tag != _ITEM:
                raise Damage("is damaged (a sequence holds something else than items)")
            item_end = None if length == _UNDEFINED else self._file.tell() + length
            if item_end is not None and item_end > limit:
                raise self._beyond(limit)
            self._item(item_end, limit if item_end is None else item_end, encoding, depth)
        return start

    def _item(self, end: int | None, limit: int, encoding: _Encoding, depth: int) -> None:
        last = -1
        while self._file.tell() != end:
            tag, vr, length = self._header(encoding, limit)
            if tag == _ITEM_END and end is None and length == 0:
                return
            self._check_order(tag, last)
            self._value(tag, vr, length, limit, encoding, depth)
            last = tag

    def _pixels(self, tag: int, length: int) -> None:
        start = self._file.tell()
        if length != _UNDEFINED:
            self.pixels = PixelElement(_PIXELS[tag], length)
            if start + length > self._size:
                raise Damage(_TRUNCATED)
            self._file.seek(start + length)
            return
        fragments, total = -1, 0  # the first item is the offset table
        while True:
            part, _, length = self._header(self._encoding, self._size)
            if part == _SEQUENCE_END and length == 0:
                break
            if part != _ITEM or length == _UNDEFINED:
                raise Damage("is damaged (its compressed pixel data are cut or mixed up)")
            if self._file.tell() + length > self._size:
                raise Damage(_TRUNCATED)
            self._elements += 1
            if self._elements > _MAX_ELEMENTS:
                raise Damage(f"holds more than {_MAX_ELEMENTS} parts of pixel data, so it was not read")
            self._file.seek(self._file.tell() + length)
            fragments, total = fragments + 1, total + (length if fragments >= 0 else 0)
        self.pixels = PixelElement(_PIXELS[tag], total, max(fragments, 0))


def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _is_sequence(tag: int) -> bool:
    """Whether a standard element is a sequence; private ones are stepped over by their length."""
    return not (tag >> 16) & 1 and _dictionary_vr(tag) == "SQ"
