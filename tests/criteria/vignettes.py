"""Patients worked out by hand, each from a sentence of a source.

The publications themselves (RANO 2.0: PMC10860967; RANO-BM: Lancet Oncol 2015) could not be read where this was
written. What each vignette rests on is therefore named: a table reprinted with permission, a review that quotes the
criteria, a program that quotes them, or this project's own facts sheet. All of these are secondary sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RANO2, VOLUMES, BM, BM_IMMUNE = "RANO 2.0", "RANO 2.0, volumes", "RANO-BM", "RANO-BM under immunotherapy"

BM_TABLE = "PMC6499019 Table 4, reprinted from Lin 2015 (secondary)"
BM_REVIEW = "PMC7251532 Table 2, after Lin 2015 (secondary)"
BM_RADIOPAEDIA = "radiopaedia.org, RANO-BM (secondary)"
ASSIST = "RANO2.0-assist, response_classification_utils.py, which quotes RANO 2.0 (secondary)"
RANO_2010 = "PMC10584081 Table 1, RANO 2010 and RANO-LGG (secondary)"
THICK = "radiotherapydictionary.blogspot.com, RANO 2010 (secondary)"
MRANO = "PMC5398984, abstract: Ellingson 2017, whose baseline RANO 2.0 takes over"
FACTS = "this project's facts sheet, from memory of Wen 2023 (secondary)"
OWN = "this project's decision where the publications leave it open"


@dataclass(frozen=True)
class Vignette:
    """A patient.

    Attributes:
        studies: day → lesions: ``(longest, perpendicular)`` in mm; then volume in mm³, slices, thickness in mm.
        expected: category of each study.
        confirmed: the beginning of what is said on confirmation, by study number.
        kind: what the last answer is called.
        clinic: ``(day, mg of dexamethasone, state)``.
    """

    name: str
    source: str
    criteria: str
    studies: dict[int, dict[str, tuple[float, ...]]]
    expected: str
    confirmed: dict[int, str] = field(default_factory=dict)
    kind: str = "imaging category"
    operations: tuple[int, ...] = ()
    radiotherapy_ends: tuple[int, ...] = ()
    treatment_starts: tuple[int, ...] = ()
    clinic: tuple[tuple[int, float | None, str | None], ...] = ()


V = Vignette
# Products in the comments: 20 × 20 = 400 mm².
VIGNETTES = [
    # RANO 2.0, two diameters
    V("half of the product is PR", ASSIST, RANO2, {0: {"A": (20, 20)}, 60: {"A": (20, 10)}}, "baseline PR"),
    V("just above half is SD", ASSIST, RANO2, {0: {"A": (20, 20)}, 60: {"A": (20, 10.1)}}, "baseline SD"),
    V("a quarter more is PD", ASSIST, RANO2, {0: {"A": (20, 20)}, 60: {"A": (25, 20)}}, "baseline PD"),
    V("just under a quarter more is SD", ASSIST, RANO2, {0: {"A": (20, 20)}, 60: {"A": (24.9, 20)}}, "baseline SD"),
    V("all gone is CR", ASSIST, RANO2, {0: {"A": (20, 20)}, 60: {}}, "baseline CR"),
    V("growth counts from the nadir, not from the baseline", FACTS, RANO2,
      {0: {"A": (30, 20)}, 60: {"A": (20, 10)}, 120: {"A": (25, 10)}}, "baseline PR PD"),
    V("the current study is not its own nadir, and the baseline can be the nadir", FACTS, RANO2,
      {0: {"A": (20, 10)}, 60: {"A": (22, 10)}, 120: {"A": (25, 10)}}, "baseline SD PD"),
    V("slow growth adds up against the nadir", FACTS, RANO2,
      {0: {"A": (20, 10)}, 60: {"A": (22, 10)}, 120: {"A": (24, 10)}, 180: {"A": (26, 10)}}, "baseline SD SD PD"),
    V("products are summed over targets", RANO_2010, RANO2,  # 400 + 200 → 300 + 300: no change
      {0: {"A": (20, 20), "B": (20, 10)}, 60: {"A": (20, 15), "B": (20, 15)}}, "baseline SD"),
    V("at most two targets: the third measurable lesion is not in the sum", FACTS, RANO2,  # 900 + 400 → 450 + 200
      {0: {"A": (30, 30), "B": (20, 20), "C": (12, 12)}, 60: {"A": (30, 15), "B": (20, 10), "C": (12, 12)}},
      "baseline PR"),
    V("a new measurable lesion is PD, though the target shrinks", ASSIST, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (20, 8), "B": (11, 10)}}, "baseline PD"),
    V("a new lesion that is not measurable is not PD", FACTS, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (20, 20), "B": (9, 8)}}, "baseline SD"),
    V("the new lesion stays PD in the next study", RANO_2010, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (20, 8), "B": (11, 10)}, 100: {"A": (20, 8), "B": (11, 10)}}, "baseline PD PD"),
    V("CR needs the non-targets gone too", RANO_2010, RANO2,
      {0: {"A": (20, 20), "B": (8, 6)}, 60: {"B": (8, 6)}}, "baseline PR"),
    V("a non-target that grows to be measurable is PD", ASSIST, RANO2,
      {0: {"A": (20, 20), "B": (8, 6)}, 60: {"A": (20, 20), "B": (14, 11)}}, "baseline PD"),
    V("a non-target that grows a little is not", OWN, RANO2,
      {0: {"A": (20, 20), "B": (9, 9)}, 60: {"A": (20, 20), "B": (10, 10)}}, "baseline SD"),
    V("one diameter under 10 mm is not measurable", RANO_2010, RANO2,  # not in the sum, so it may double
      {0: {"A": (20, 20), "B": (14, 9)}, 60: {"A": (20, 20), "B": (14, 9.8)}}, "baseline SD"),
    V("one slice is not measurable", RANO_2010, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (20, 20), "B": (12, 12, 900, 1)}}, "baseline SD"),
    V("thick slices ask for twice their thickness", THICK, RANO2,  # new, 13 × 13 mm in slices of 7 mm
      {0: {"A": (30, 30, 9000, 4, 7)}, 60: {"A": (30, 30, 9000, 4, 7), "B": (13, 13, 900, 3, 7)}}, "baseline SD"),
    V("slices of 5 mm do not", THICK, RANO2,
      {0: {"A": (30, 30, 9000, 4, 5)}, 60: {"A": (30, 30, 9000, 4, 5), "B": (13, 13, 900, 3, 5)}}, "baseline PD"),
    V("nothing at baseline and nothing now is stable", OWN, RANO2, {0: {}, 60: {}}, "baseline SD"),
    V("nothing at baseline and a measurable lesion now is PD", RANO_2010, RANO2,
      {0: {}, 60: {"A": (12, 11)}}, "baseline PD"),
    V("a target that comes back after CR is PD once it is measurable", OWN, RANO2,
      {0: {"A": (20, 20)}, 60: {}, 120: {"A": (8, 6)}, 180: {"A": (11, 10)}}, "baseline CR PR PD"),
    V("an operation resets baseline and nadir", FACTS, RANO2,
      {0: {"A": (40, 40)}, 60: {"A": (20, 10)}, 100: {"A": (15, 10)}, 160: {"A": (18, 10)}, 200: {"A": (19, 10)}},
      "baseline PR baseline SD PD", operations=(80,)),
    V("newly diagnosed: the baseline is the first study after radiotherapy", MRANO, RANO2,
      {0: {"A": (40, 40)}, 90: {"A": (20, 20)}, 220: {"A": (20, 20)}}, "baseline baseline SD", radiotherapy_ends=(60,)),
    V("recurrent: the baseline is the last study before treatment", FACTS, RANO2,
      {0: {"A": (20, 10)}, 90: {"A": (30, 20)}, 150: {"A": (20, 15)}}, "baseline PD PR", treatment_starts=(95,)),
    V("PD in the first 12 weeks after radiotherapy is confirmed by the next study", FACTS, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (30, 20)}, 95: {"A": (32, 20)}}, "baseline PD PD",
      {1: "confirmed on day 95, progression dates back to day 60"}, radiotherapy_ends=(-5,)),
    V("or it is not, and was pseudoprogression", FACTS, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (30, 20)}, 95: {"A": (20, 18)}}, "baseline PD SD",
      {1: "not confirmed on day 95: SD"}, radiotherapy_ends=(-5,)),
    V("a study after two weeks cannot confirm it", FACTS, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (30, 20)}, 74: {"A": (32, 20)}}, "baseline PD PD",
      {1: "preliminary"}, radiotherapy_ends=(-5,)),
    V("after 12 weeks PD needs no second study", FACTS, RANO2,
      {0: {"A": (20, 20)}, 120: {"A": (30, 20)}}, "baseline PD", {1: ""}, radiotherapy_ends=(-5,)),
    V("a response that holds four weeks is confirmed", RANO_2010, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (20, 10)}, 88: {"A": (20, 9)}}, "baseline PR PR", {1: "confirmed on day 88"}),
    V("a response that does not hold is not", RANO_2010, RANO2,
      {0: {"A": (20, 20)}, 60: {"A": (20, 10)}, 100: {"A": (20, 11)}}, "baseline PR SD",
      {1: "not confirmed on day 100: SD"}),
    # Steroids and clinical state
    V("PR on a stable dose is RANO's PR", THICK, RANO2, {0: {"A": (20, 20)}, 60: {"A": (20, 9)}}, "baseline PR",
      kind=RANO2, clinic=((0, 4, "stable"), (60, 4, "stable"))),
    V("clinical deterioration is PD", ASSIST, RANO2, {0: {"A": (20, 20)}, 60: {"A": (20, 19)}}, "baseline PD",
      kind=RANO2, clinic=((0, 0, "stable"), (60, 0, "worse"))),
    V("more steroids alone are neither PD nor SD", ASSIST, RANO2, {0: {"A": (20, 20)}, 60: {"A": (20, 19)}},
      "baseline NE", kind=RANO2, clinic=((0, 2, "stable"), (60, 8, "stable"))),
    V("CR on steroids is no CR", THICK, RANO2, {0: {"A": (20, 20)}, 60: {}}, "baseline PR",
      kind=RANO2, clinic=((0, 4, "stable"), (60, 4, "stable"))),
    V("CR on a replacement dose is", THICK, RANO2, {0: {"A": (20, 20)}, 60: {}}, "baseline CR",
      kind=RANO2, clinic=((0, 4, "stable"), (60, 0.75, "improved"))),
    V("without the dose at baseline it is an imaging category", OWN, RANO2,
      {0: {"A": (20, 20)}, 60: {}}, "baseline CR", clinic=((60, 4, "stable"),)),
    # RANO 2.0, volumes
    V("65 % less volume is PR", ASSIST, VOLUMES, {0: {"A": (20, 20, 4000)}, 60: {"A": (15, 15, 1400)}}, "baseline PR"),
    V("64 % less is SD", ASSIST, VOLUMES, {0: {"A": (20, 20, 4000)}, 60: {"A": (15, 15, 1440)}}, "baseline SD"),
    V("40 % more than the nadir is PD", ASSIST, VOLUMES,
      {0: {"A": (20, 20, 4000)}, 60: {"A": (15, 15, 2000)}, 120: {"A": (17, 16, 2800)}}, "baseline SD PD"),
    V("39 % more is SD", ASSIST, VOLUMES, {0: {"A": (20, 20, 4000)}, 60: {"A": (22, 22, 5560)}}, "baseline SD"),
    V("every voxel counts, in new specks too", OWN, VOLUMES,
      {0: {"A": (20, 20, 2000)}, 60: {"A": (20, 20, 2000), "B": (9, 9, 850)}}, "baseline PD"),
    # RANO-BM
    V("30 % less diameter is PR", BM_TABLE, BM, {0: {"A": (20, 10), "B": (10, 8)}, 42: {"A": (14, 8), "B": (7, 5)}},
      "baseline PR"),
    V("29 % less is SD", BM_TABLE, BM, {0: {"A": (20, 10)}, 42: {"A": (14.2, 8)}}, "baseline SD"),
    V("20 % more than the nadir is PD, with 5 mm in one lesion", BM_REVIEW, BM,
      {0: {"A": (30, 20)}, 42: {"A": (25, 16)}, 90: {"A": (30, 16)}}, "baseline SD PD"),
    V("20 % more without 5 mm is not", BM_REVIEW, BM, {0: {"A": (12, 10)}, 42: {"A": (16, 12)}}, "baseline SD"),
    V("5 mm over several lesions is not one lesion by 5 mm", BM_REVIEW, BM,
      {0: {"A": (12, 10), "B": (12, 10)}, 42: {"A": (15, 12), "B": (15, 12)}}, "baseline SD"),
    V("5 mm without 20 % is not", BM_REVIEW, BM, {0: {"A": (40, 20)}, 42: {"A": (46, 20)}}, "baseline SD"),
    V("the baseline can be the smallest sum", BM_REVIEW, BM, {0: {"A": (25, 20)}, 42: {"A": (30, 20)}}, "baseline PD"),
    V("a new lesion is PD, however small", BM_TABLE, BM,
      {0: {"A": (20, 10)}, 42: {"A": (10, 8), "B": (4, 3)}}, "baseline PD"),
    V("seen in one slice only it is not sure yet", BM_TABLE, BM,  # "visible in at least two projections"
      {0: {"A": (20, 10)}, 42: {"A": (20, 10), "B": (4, 3, 20, 1)}}, "baseline SD"),
    V("under immunotherapy a new lesion alone is no PD", BM_TABLE, BM_IMMUNE,
      {0: {"A": (20, 10)}, 42: {"A": (20, 10), "B": (8, 6)}}, "baseline SD"),
    V("five targets at most", BM_RADIOPAEDIA, BM,  # the five largest lose 30 %; the sixth is stable
      {0: {**dict.fromkeys("ABCDE", (20, 10)), "F": (11, 8)}, 42: {**dict.fromkeys("ABCDE", (14, 8)), "F": (11, 8)}},
      "baseline PR"),
    V("10 × 5 mm is measurable, 10 × 4 mm is not", BM_RADIOPAEDIA, BM,
      {0: {"A": (10, 5), "B": (10, 4)}, 42: {"A": (7, 4), "B": (10, 4)}}, "baseline PR"),
    V("all gone is CR", BM_TABLE, BM, {0: {"A": (20, 10), "B": (6, 5)}, 42: {}}, "baseline CR"),
    V("a non-target is left: no CR", BM_REVIEW, BM, {0: {"A": (20, 10), "B": (6, 5)}, 42: {"B": (6, 5)}},
      "baseline PR"),
    V("clinical worsening is PD", BM_TABLE, BM, {0: {"A": (20, 10)}, 42: {"A": (20, 10)}}, "baseline PD",
      kind=BM, clinic=((0, 0, "stable"), (42, 0, "worse"))),
]  # fmt: skip
