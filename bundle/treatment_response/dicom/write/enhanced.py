"""A volume as one Enhanced MR Image: a multi-frame object whose geometry lies in functional groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from treatment_response.dicom.write.base import decimal_strings, derived_uid, new_object, save, slice_geometry
from treatment_response.dicom.write.identity import Equipment, PatientIds, StudyIds, WrittenInstance, WrittenSeries
from treatment_response.dicom.write.pixels import TransferSyntax, describe_pixels, set_pixels, stored_values
from treatment_response.geometry import Volume, flip_lps_ras


def _group(**attributes: object) -> Sequence:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return Sequence([item])


def _shared_groups(
    orientation: list[str], spacing: list[str], thickness: float, slope: float, intercept: float
) -> Dataset:
    shared = Dataset()
    shared.PixelMeasuresSequence = _group(
        PixelSpacing=spacing,
        SliceThickness=decimal_strings(np.array([thickness]))[0],
        SpacingBetweenSlices=decimal_strings(np.array([thickness]))[0],
    )
    shared.PlaneOrientationSequence = _group(ImageOrientationPatient=orientation)
    rescale = decimal_strings(np.array([slope, intercept]))
    shared.PixelValueTransformationSequence = _group(
        RescaleSlope=rescale[0], RescaleIntercept=rescale[1], RescaleType="US"
    )
    shared.FrameAnatomySequence = _group(
        FrameLaterality="U",
        AnatomicRegionSequence=_group(CodeValue="12738006", CodingSchemeDesignator="SCT", CodeMeaning="Brain"),
    )
    shared.MRImageFrameTypeSequence = _group(
        FrameType=["DERIVED", "PRIMARY", "T1", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="T1",
    )
    shared.MREchoSequence = _group(EffectiveEchoTime=12.0)
    return shared


def write_enhanced_series(
    volume: Volume,
    path: Path,
    *,
    patient: PatientIds,
    study: StudyIds,
    series_uid: str,
    frame_uid: str,
    description: str = "T1",
    contrast: bool = True,
    transfer_syntax: TransferSyntax | str = TransferSyntax.EXPLICIT,
    slope: float = 1.0,
    intercept: float = 0.0,
    frame_order: list[int] | None = None,
    equipment: Equipment | None = None,
) -> WrittenSeries:
    """Write a volume as one Enhanced MR object, slices along the third axis as frames.

    Arguments that are not named below are as in ``write_series``.

    Args:
        path: the file.
        frame_order: slice index of each frame; None is ascending. A scanner may store frames in any order.
    """
    syntax = TransferSyntax(transfer_syntax)
    orientation, spacing, positions = slice_geometry(volume)
    order = list(range(len(positions))) if frame_order is None else frame_order
    sop_uid = derived_uid(series_uid, "enhanced")
    out = new_object(
        EnhancedMRImageStorage,
        sop_uid,
        "MR",
        series_uid,
        patient=patient,
        study=study,
        equipment=equipment or Equipment(),
        description=description,
        series_number=1,
        transfer_syntax=syntax.uid,
    )
    date = study.date or "19000101"
    out.FrameOfReferenceUID, out.PositionReferenceIndicator, out.PatientPosition = frame_uid, "", "HFS"
    # DERIVED: a computed image has no acquisition whose details an ORIGINAL one would have to state.
    out.ImageType = ["DERIVED", "PRIMARY", "T1", "NONE"]
    out.PixelPresentation, out.VolumetricProperties = "MONOCHROME", "VOLUME"
    out.VolumeBasedCalculationTechnique, out.ComplexImageComponent = "NONE", "MAGNITUDE"
    out.AcquisitionContrast, out.ContentQualification = "T1", "RESEARCH"
    out.ResonantNucleus, out.MagneticFieldStrength = "1H", 1.5
    out.KSpaceFiltering, out.ApplicableSafetyStandardAgency = "NONE", "IEC"
    out.BurnedInAnnotation, out.LossyImageCompression, out.PresentationLUTShape = "NO", "00", "IDENTITY"
    if study.date:
        out.AcquisitionDateTime = f"{date}{study.time}"
        out.ContentDate, out.ContentTime = study.date, study.time
    out.AcquisitionContextSequence = []
    out.InstanceNumber, out.AcquisitionNumber, out.NumberOfFrames = 1, 1, len(order)
    if contrast:
        agent = _group(CodeValue="C-17800", CodingSchemeDesignator="SRT", CodeMeaning="Gadolinium")
        agent[0].ContrastBolusAgentNumber, agent[0].ContrastBolusVolume = 1, None
        agent[0].ContrastBolusIngredientConcentration, agent[0].ContrastBolusIngredientCodeSequence = None, []
        agent[0].ContrastBolusAdministrationRouteSequence = _group(
            CodeValue="47625008", CodingSchemeDesignator="SCT", CodeMeaning="Intravenous route"
        )
        out.ContrastBolusAgentSequence = agent
    organisation = derived_uid(series_uid, "dimensions")
    out.DimensionOrganizationSequence = _group(DimensionOrganizationUID=organisation)
    out.DimensionIndexSequence = _group(
        DimensionOrganizationUID=organisation,
        DimensionIndexPointer=0x00209057,  # In-Stack Position Number
        FunctionalGroupPointer=0x00209111,  # Frame Content Sequence
    )
    out.SharedFunctionalGroupsSequence = [
        _shared_groups(orientation, spacing, float(volume.spacing[2]), slope, intercept),
    ]
    if contrast:
        out.SharedFunctionalGroupsSequence[0].ContrastBolusUsageSequence = _group(
            ContrastBolusAgentNumber=1, ContrastBolusAgentAdministered="YES", ContrastBolusAgentDetected="YES"
        )
    frames = []
    for slice_index in order:
        frame = Dataset()
        frame.FrameContentSequence = _group(
            StackID="1", InStackPositionNumber=slice_index + 1, DimensionIndexValues=[slice_index + 1]
        )
        frame.PlanePositionSequence = _group(ImagePositionPatient=decimal_strings(positions[slice_index]))
        frames.append(frame)
    out.PerFrameFunctionalGroupsSequence = frames
    describe_pixels(out, volume.array.shape[1], volume.array.shape[0], signed=False)
    stored = stored_values(volume.array, slope, intercept, signed=False)
    set_pixels(out, stored.transpose(2, 1, 0)[order], syntax)
    save(out, path)
    normal = np.cross(volume.affine[:3, 0], volume.affine[:3, 1])
    frame_of = {slice_index: number for number, slice_index in enumerate(order, start=1)}
    instances = tuple(
        WrittenInstance(sop_uid, flip_lps_ras(position), path, frame_of[index])
        for index, position in enumerate(positions)
        if index in frame_of
    )
    return WrittenSeries(
        study.study_uid, series_uid, frame_uid, str(EnhancedMRImageStorage), normal / np.linalg.norm(normal), instances
    )
