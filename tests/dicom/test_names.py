"""Tables of names: what kind of structure a ROI's name stands for, and what the name of an MR series says."""

from __future__ import annotations

import time
import unicodedata

import pytest
from pydicom.dataset import Dataset
from treatment_response.dicom.headers import has_contrast, is_t1
from treatment_response.dicom.ingest.name_facts import name_facts
from treatment_response.dicom.ingest.names import (
    RoiKind,
    is_background,
    kind_of,
    known_word,
    normalise,
    select_targets,
    surgery_words,
)
from treatment_response.dicom.sequence_names import contrast_by_name, sequence_by_name, t1_by_name

ROIS = {
    RoiKind.TARGET: [
        *(
            "GTV",
            "GTVs",
            "gtv1",
            "GTV_01 L frontal",
            "GTV brainstem",
            "GTV L parietal",
            "GTV optic nerve",
            "GTV1_REF",
            "Brainstem GTV",
        ),
        # TG-263
        *("GTVp", "GTVp1", "GTVn2", "GTVp1_Frontal_L", "GTV_R1", "GTVp1-during", "GTV_recurrence", "GTV_01_pre"),
        *("Lesion2", "les 4", "Läsion 2", "Laesion 2", "lésion", "Lésions", "Met 3", "METS_2", "Met 5mm", "BM 2"),
        *("Metastase", "Metastasen", "Hirnmetastase 1", "métastase 1", "metastasis left", "Filia 3", "Filiae"),
        *("Brain met 1", "Brain mets L", "Brain-Met 3", "Brainmet_7", "Brain_GTV1", "Brain GTV 1", "BrainGTV2"),
        *("Tumor", "Tumor_a", "tumour", "tumeur", "Hirntumor 2", "TU 1", "TARGET1", "Tgt1", "Lesion1_20Gy"),
        *("Met ring enhancing", "Ring-enhancing met 2", "untreated met", "GTV not treated", "unresected GTV 2"),
    ],
    RoiKind.MARGIN: [
        *("PTV_1", "PTV GTV1", "PTVp1", "PTVall", "GTV1_PTV", "GTVtoPTV", "PTV brainstem", "CTV met", "CTVn", "ITV 2"),
        *("GTV1+3mm margin", "GTV+2mm", "GTV1 3 mm", "GTV_exp3mm", "GTV 1 + 2", "Zielvolumen 1"),
    ],
    RoiKind.CAVITY: [
        *(
            "cavity",
            "GTV_cavity",
            "GTV1 resected",
            "Resection GTV 1",
            "resected met",
            "GTV post-op",
            "GTVsb",
            "Kavität",
        ),
        *("Tumorbett", "Tumorbed", "TumorBed", "tumour bed", "Resektionshöhle", "OP-Höhle", "loge tumorale"),
    ],
    RoiKind.EDEMA: ["Edema GTV2", "oedema", "peritumoral edema", "Ödem", "Tumorödem", "œdème", "FLAIR"],
    RoiKind.UNION: [
        *("GTV_total", "GTVall", "GTV sum", "GTV_ALL_01", "GTVges", "all mets", "Mets_all", "GTV1 & GTV2", "GTV1_GTV2"),
        "GTV 1 and 2",
    ],
    RoiKind.EARLIER: [
        *("GTV 1 old", "Target 1 (prev treated)", "prior GTV", "previously treated met", "GTV pre-op", "GTV alt"),
        "L frontal old",
    ],
    RoiKind.OPTIMISATION: [
        # TG-263: a leading z or underscore keeps a structure out of the evaluation.
        *("zGTV1", "z_GTV", "zgtv1", "zPTV1", "zRing", "_GTV1", "GTVopti", "GTV_opt", "GTV opt 1"),
        *("Brain-GTV", "BRAIN-GTVS", "Brain_GTV", "Brain minus GTV", "brain - GTV1", "Brain_sub_GTV", "brain w/o GTV"),
        *("Hirn-GTV", "Hirn ohne GTV", "cerveau sans GTV", "GTV1 ring", "ring 1", "ring_2cm", "GTV shell"),
        *("Isodose 50%", "50%", "20Gy", "target avoid", "isocenter target", "Couch"),
    ],
    RoiKind.ORGAN: [
        *("BrainStem", "brain stem", "Hirnstamm", "tronc cérébral", "Brainstem_PRV03", "Optic chiasm", "OpticChiasm"),
        *(
            "Chiasma",
            "OpticNrv_L",
            "OPTIC NERVE RT",
            "Opt_Nerve_L",
            "Sehnerv re",
            "nerf optique droit",
            "Eye_R",
            "eyes",
        ),
        *("Auge links", "Oeil gauche", "Lens_L", "Lens L", "Linse_li", "Cochlea_L", "Hippocampus_R", "Pituitary"),
        *("Ventricle_L", "Cerebellum", "Kleinhirn", "Parotid_R", "Glnd_Lacrimal_L", "SpinalCord", "Cavity_Oral"),
        *("oral cavity", "Lobe_Temporal_L", "Joint_TM_L", "Bone_Mandible"),
    ],
    RoiKind.BODY: [
        *("Brain", "Whole Brain", "Normal brain", "Brain_Autoseg", "Hirn", "Gehirn", "Ganzhirn", "Cerveau", "Skull"),
        *("Schädel", "BODY", "Körper", "Koerper", "External", "Skin"),
    ],
    RoiKind.OTHER: [
        *("A1", "L frontal", "Temporal L", "Lt temporal mass", "Helmet", "Meier", "RetroRecurring 2", "AVM target", ""),
        "trigeminal target",
    ],
}
NO_BACKGROUND = [
    *("Brainstem mass", "Brain 2", "Cerebellum tx 18Gy", "Skull Meier", "Brain lesion", "brain mass", "Brain edema"),
    *("PTV brainstem", "Brain GTV 1", "Brain_GTV", "GTV", "L frontal", "Eye Meier"),
]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in ROIS.items() for name in names])
def test_kinds_of_rois(kind: RoiKind, name: str) -> None:
    for spelling in ("NFC", "NFD"):
        spelled = unicodedata.normalize(spelling, name)
        assert kind_of(spelled) is kind
        assert bool(select_targets([spelled])[0]) == (kind is RoiKind.TARGET)
        assert is_background(spelled) == (kind in (RoiKind.ORGAN, RoiKind.BODY))


@pytest.mark.parametrize("name", ["SkullMask", "Brain Mask", "brain_mask", "Hirn Maske"])
def test_masks_of_the_head_are_background(name: str) -> None:
    assert is_background(name)


@pytest.mark.parametrize("name", NO_BACKGROUND)
def test_a_name_that_says_more_than_an_organ_is_no_background(name: str) -> None:
    assert not is_background(name)


def test_the_word_in_a_report_is_fixed() -> None:
    names = ["Skull Meier", "PTV Meier", "GTV Meier old", "GTV1 Meier ring", "Meier", "GTV Meier"]
    assert [known_word(name) for name in names] == ["skull", "ptv", "earlier", "ring", "other", "other"]


def test_the_users_pattern_decides_alone_in_any_unicode_form() -> None:
    names = ["PTV Läsion", "GTV"]
    decomposed = [unicodedata.normalize("NFD", name) for name in names]
    assert select_targets(decomposed, "Läsion")[0] == decomposed[:1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Lesion1_20Gy", "lesion1"),
        ("GTV 2 3x8Gy", "gtv2"),
        ("Met 3 5 mm", "met3"),
        ("GTV 1 (20.5 Gy)", "gtv1"),
        # Without another number the dose or the size may be all that tells two lesions apart.
        ("Lt Frontal 5mm", "ltfrontal5mm"),
        ("GTV_20Gy", "gtv20gy"),
        ("GTV 1 1", "gtv1.1"),
    ],
)
def test_doses_and_sizes_are_not_part_of_a_name_that_has_a_number(name: str, expected: str) -> None:
    assert normalise(name) == expected


def test_accents_beyond_latin_letters_stay() -> None:
    assert normalise("か 1") != normalise("が 1")
    assert normalise("La\u0308sion 2") == normalise("L\u00e4sion_02") == "lasion2"


@pytest.mark.parametrize(
    ("name", "side", "sites", "number"),
    [
        ("Lt Frontal #2", "left", {"frontal"}, "2"),
        ("ltfrontal2", "left", {"frontal"}, "2"),
        ("Lt Frontal 5mm", "left", {"frontal"}, ""),
        ("ltfrontal5mm", "left", {"frontal"}, ""),
        ("vermis tx 18Gy", "", {"vermis"}, ""),
        ("RtSupFrontal", "right", {"frontal"}, ""),
        ("rtsupfrontal", "right", {"frontal"}, ""),
        ("frontall", "left", {"frontal"}, ""),
        ("frontal links", "left", {"frontal"}, ""),
        ("insular", "", {"insula"}, ""),
        ("L fronto-parietal", "left", {"frontal", "parietal"}, ""),
        ("bilateral thalami", "both", {"thalamus"}, ""),
        ("partial", "", set(), ""),
        ("meierlfrontal", "?", {"frontal"}, ""),
        ("Frontal 2 3", "", {"frontal"}, "?"),
    ],
)
def test_what_a_name_states(name: str, side: str, sites: set[str], number: str) -> None:
    facts = name_facts(name)
    assert (facts.side, facts.sites, facts.number) == (side, sites, number)


SERIES = [  # name, T1-weighted, contrast given
    # a reformat (MPR) is no MPRAGE
    *[("FLAIR 3D MPR TRA", False, None), ("T2 SPC MPR COR", False, None), ("SWI MPR", False, None)],
    *[("MPR TRA", None, None), ("T1_MPRAGE_TRA_KM_MPR_COR", True, True), ("T1 MPR", True, None)],
    # weighting
    *[("AX T1 FLAIR", True, None), ("AX T2 FLAIR", False, None), ("t1_tirm_tra_dark-fluid", True, None)],
    *[("t2_tirm_tra_dark-fluid_fs", False, None), ("STIR", False, None), ("PD TSE", False, None)],
    *[("T2* GRE", False, None), ("sT1W_3D_TFE", True, None), ("eT1W_FFE", True, None), ("sT2W_TSE", False, None)],
    *[("T1W_SE SENSE", True, None), ("AxT1_POST", True, True), ("T1COR", True, None), ("T13D", True, None)],
    *[("MPRAGE", True, None), ("3D MP-RAGE", True, None), ("MP2RAGE UNI", True, None), ("SPGR IR", True, None)],
    *[("mp2rage_UNI_Images", True, None), ("mp2rage_T1_Images", False, None), ("MP2RAGE INV2", False, None)],
    *[("T1_native_map", False, False), ("T1 mapping", False, None), ("T1 T2 MRF", None, None)],
    *[("t1_mprage_sag_p2_iso_PAT2", True, None), ("T10 spine", None, None), ("AX DWI b1000", False, None)],
    *[("ADC (10^-6)", False, None), ("TOF 3D multi-slab", False, None), ("3-plane Loc", False, None)],
    *[("tfl_b1map", False, None), ("DCE T1 perf", False, None), ("MIP T1", False, None), ("t1_vibe_dixon", True, None)],
    # the agent in words
    *[("t1_mprage_KM", True, True), ("3D BRAVO +C", True, True), ("CUBE T1 FS C+", True, True)],
    *[
        ("T1 GADO", True, True),
        ("T1 GD 0.1", True, True),
        ("T1 Gadovist", True, True),
        ("COR T1 SE FS +Gd", True, True),
        ("T1ce", True, True),
    ],
    *[("AX T1 POST GAD", True, True), ("t1_mprage_sag+C", True, True), ("T1 +GD", True, True), ("T1 CE", True, True)],
    *[("t1_vibe_KM", True, True), ("T1 non-contrast", True, False), ("T1 space", True, None)],
    *[("T1C", True, True), ("T1-C", True, True), ("T1 w contrast", True, True), ("T1 W/C", True, True)],
    *[("T1 without contrast", True, False), ("T1 non contrast", True, False), ("unenhanced T1", True, False)],
    *[("T1W W/O CONTRAST", True, False), ("T1 WO", True, False), ("AX T1 W/O AX BRAIN", True, False)],
    *[("T1 w/out contrast", True, False), ("T1 contrast: none", True, False), ("T1 KM-frei", True, False)],
    *[("T1 without contrast enhancement", True, False), ("T1 -C", True, False), ("T1 C-", True, False)],
    *[("T1 pre Gd", True, False), ("AX T1 PRE", True, False), ("AX T1 POST", True, True), ("postcontrast", None, True)],
    *[("Ax 3D T1 NAV post", True, True), ("T1 POST 5 MIN", True, True), ("3D PC phase contrast", False, None)],
    # German, French, Spanish, Italian
    *[("T1 mit KM", True, True), ("T1 nach KM", True, True), ("T1 m. KM", True, True), ("T1 Kontrast", True, True)],
    *[("T1 ohne KM", True, False), ("T1 o. KM", True, False), ("T1 nativ", True, False)],
    *[("T1 vor KM-Gabe", True, False), ("T1 nach KM-Gabe", True, True), ("T1 TSE nach OP", True, None)],
    *[("T1 inj", True, True), ("T1 injecté", True, True), ("T1 après gado", True, True), ("T1 GADO+", True, True)],
    *[("T1 sans injection", True, False), ("T1 sans injection de gadolinium", True, False)],
    *[("T1 avant injection", True, False), ("T1 ss gado", True, False), ("T1 GADO-", True, False)],
    *[("T1 con contraste", True, True), ("T1 sin contraste", True, False), ("T1 senza mdc", True, False)],
    *[("T1 con mezzo di contrasto", True, True), ("T1 senza mezzo di contrasto", True, False)],
    # without fat saturation is not without contrast
    *[("AX T1 POST w/o FS", True, True), ("T1 W/O FAT SAT", True, None), ("T1 no fat sat post", True, True)],
    # before and after treatment is not before and after the injection
    *[("T1 PRE-RT MPRAGE +C", True, True), ("SRS PRE T1 MPRAGE +C", True, True), ("T1 POST-OP", True, None)],
    *[("T1 postRT", True, None), ("T1 pre-op", True, None), ("T1 preop +C", True, True)],
    *[("POST OP T1 POST GAD", True, True), ("T1 post radiotherapy", True, None), ("T1 FS POST 3 months", True, None)],
    # both, or the difference of both
    *[("T1 w/o & w", True, None), ("T1 W WO", True, None), ("T1W/WO", True, None), ("SAG T1 PRE/POST", True, None)],
    *[("T1 with and without contrast", True, None), ("T1 PRE & POST CONTRAST", True, None), ("T1 +/- C", True, None)],
    *[("T1 SUB", False, None), ("subtraction T1 post - pre", False, None), ("T1 sub-01", True, None)],
]


@pytest.mark.parametrize(("name", "t1", "contrast"), SERIES)
def test_names_of_series(name: str, t1: bool | None, contrast: bool | None) -> None:
    for spelling in ("NFC", "NFD"):
        spelled = unicodedata.normalize(spelling, name)
        assert t1_by_name(spelled) is t1
        assert contrast_by_name(spelled) is contrast


def _header(**attributes: str) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"SeriesDescription": "FLAIR 3D MPR", "ProtocolName": "t1_mprage"}, False),
        ({"SeriesDescription": "MPR TRA", "ProtocolName": "t1_mprage"}, True),
        ({"SeriesDescription": "MPR TRA", "RepetitionTime": "9000", "EchoTime": "90"}, False),
        ({"SeriesDescription": "AX T2", "AcquisitionContrast": "T1"}, True),
        ({"SeriesDescription": "AX T1", "AcquisitionContrast": "FLUID_ATTENUATED"}, False),
        ({"SeriesDescription": "brain", "RepetitionTime": "500", "EchoTime": "10"}, True),
        ({"SeriesDescription": "brain", "RepetitionTime": "5000", "EchoTime": "100"}, False),
        ({"RepetitionTime": "2000", "EchoTime": "3", "InversionTime": "900"}, True),
        ({"AcquisitionContrast": "T2"}, False),
        ({}, None),
    ],
)
def test_order_of_what_tells_the_weighting(attributes: dict[str, str], expected: bool | None) -> None:
    assert is_t1(_header(**attributes)) is expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        # The agent of an examination stands in the header of the series before the injection too.
        ({"ContrastBolusAgent": "Gadovist", "SeriesDescription": "AX T1 PRE"}, None),
        ({"ContrastBolusAgent": "Gadovist"}, True),
        ({"ContrastBolusAgent": ""}, None),
        ({"ContrastBolusAgent": "Gadovist", "SeriesDescription": "t1 nativ"}, None),
        ({"ContrastBolusAgent": "Gadovist", "SeriesDescription": "T1 pre-op"}, True),
        ({"ContrastBolusAgent": "NONE", "SeriesDescription": "T1 +C"}, None),
        ({"ContrastBolusAgent": "none", "SeriesDescription": "T1"}, False),
        ({"ContrastBolusAgent": "no contrast"}, False),
        ({"ContrastBolusAgent": "UNKNOWN"}, None),
        ({"SeriesDescription": "t1_mprage", "ProtocolName": "t1_mprage_km"}, True),
        ({"SeriesDescription": "t1 nativ", "ProtocolName": "t1 km"}, False),
    ],
)
def test_contrast_by_attribute_and_name(attributes: dict[str, str], expected: bool | None) -> None:
    assert has_contrast(_header(**attributes)) is expected


SURGERY = [
    *("T1 post-op", "postop MRI", "MR Kopf nach OP", "IRM postopératoire", "resection", "resection cavity", "Z.n. OP"),
    *("L craniotomy", "s/p crani", "after surgery", "Tumorbett", "GTV 1 resected", "Resektionshöhle", "intraop MRI"),
]
NO_SURGERY = [
    *("pre-op", "T1 mprage", "SRS", "radiosurgery", "post radiosurgery", "unresected", "resectable", "vor Resektion"),
    *("no resection", "resection planning", "post opercular", "oral cavity", "biopsy", ""),
]


@pytest.mark.parametrize(("text", "expected"), [(t, True) for t in SURGERY] + [(t, False) for t in NO_SURGERY])
def test_words_for_surgery(text: str, expected: bool) -> None:
    assert surgery_words(text) is expected


@pytest.mark.parametrize("text", ["1", "gtv1 ", "w/o ", "frontal", "1 x", "a "])
def test_absurdly_long_names_cost_no_time(text: str) -> None:
    name = text * 100_000
    start = time.process_time()
    for read in (kind_of, is_background, normalise, surgery_words, name_facts, t1_by_name, contrast_by_name):
        read(name)
    assert time.process_time() - start < 5.0


SEQUENCES = {
    "T2w": [*("t2_tse_tra", "AX T2 PROPELLER", "T2W_TSE", "AxT2", "3D T2 CUBE", "T2 SPACE 2 mm")],
    "FLAIR": [*("T2 FLAIR", "t2_space_dark-fluid_sag", "t2_tirm_tra_dark-fluid_3mm", "Sag CUBE T2 FLAIR", "FLAIR KM")],
    "PDw": ["pd_tse", "Proton density"],
    "": [
        *("T2* GRE", "T2 star", "t2_fl2d_tra_hemo", "ep2d_diff_b1000 T2", "T2_map", "t2_tirm_tra", "STIR", "T2 MEDIC"),
        *("PD T2 dual", "SWI", "localizer", ""),
    ],
}


@pytest.mark.parametrize(("suffix", "name"), [(suffix, name) for suffix, names in SEQUENCES.items() for name in names])
def test_sequences_that_are_no_t1(suffix: str, name: str) -> None:
    assert sequence_by_name(name) == suffix
