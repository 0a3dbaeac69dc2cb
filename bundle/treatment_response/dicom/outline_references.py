"""What outlines refer to: images, series and frames of reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset


def items(dataset: Dataset, *keywords: str) -> Iterator[Dataset]:
    """The items of a sequence; with several keywords, of sequences within its items."""
    inner: Iterable[Dataset] = dataset.get(keywords[0]) or ()
    for item in inner:
        if len(keywords) == 1:
            yield item
        else:
            yield from items(item, *keywords[1:])


def contour_images(dataset: Dataset) -> frozenset[str]:
    """SOP Instance UIDs of the images that the contours of an RT Structure Set refer to."""
    path = ("ROIContourSequence", "ContourSequence", "ContourImageSequence")
    return _uids(items(dataset, *path))


def frame_images(dataset: Dataset) -> frozenset[str]:
    """SOP Instance UIDs of the images that the frames of a segmentation were derived from."""
    path = ("DerivationImageSequence", "SourceImageSequence")
    groups = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
    return _uids(item for group in groups for item in items(dataset, group, *path))


def listed_series(dataset: Dataset) -> tuple[tuple[str, ...], frozenset[str]]:
    """Series and images that an RT Structure Set or a segmentation lists: UIDs, each once."""
    path = ("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence")
    series = [*items(dataset, *path), *items(dataset, "ReferencedSeriesSequence")]
    uids = dict.fromkeys(str(item.get("SeriesInstanceUID") or "") for item in series)
    lists = ("ContourImageSequence", "ReferencedInstanceSequence")
    images = _uids(image for item in series for keyword in lists for image in items(item, keyword))
    return tuple(uid for uid in uids if uid), images


def image_classes(dataset: Dataset) -> frozenset[str]:
    """SOP classes of the images that outlines list, or that contours refer to."""
    path = ("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence")
    images = [
        *items(dataset, *path, "ContourImageSequence"),
        *items(dataset, "ReferencedSeriesSequence", "ReferencedInstanceSequence"),
        *items(dataset, "ROIContourSequence", "ContourSequence", "ContourImageSequence"),
    ]
    return frozenset(str(image.get("ReferencedSOPClassUID") or "") for image in images) - {""}


def frames_of_reference(dataset: Dataset) -> frozenset[str]:
    """Every frame of reference that outlines list; where they list none, that of each ROI."""
    listed = {str(dataset.get("FrameOfReferenceUID") or "")}
    for item in items(dataset, "ReferencedFrameOfReferenceSequence"):
        listed.add(str(item.get("FrameOfReferenceUID") or ""))
    rois = items(dataset, "StructureSetROISequence")
    return frozenset(listed - {""} or {str(item.get("ReferencedFrameOfReferenceUID") or "") for item in rois} - {""})


def _uids(images: Iterable[Dataset]) -> frozenset[str]:
    return frozenset(str(image.get("ReferencedSOPInstanceUID") or "") for image in images) - {""}
