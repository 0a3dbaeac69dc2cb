"""One study against its baseline and nadir: what every criteria of this room share, with numbers as parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treatment_response.criteria.measurements import LesionMeasures, MeasuredStudy

CR, PR, MR, SD, PD = "CR", "PR", "MR", "SD", "PD"
"""Complete, partial and minor response, stable disease, progressive disease."""
NE, BASELINE = "NE", "baseline"
"""Not evaluable; and the study that others are compared with."""
CATEGORIES = (CR, PR, MR, SD, PD)
"""From the best to the worst."""
IMAGING = "imaging category"
"""What an answer is called as long as steroids and clinical state are not known."""
GROWTH_MM = 5.0
"""A lesion's longest diameter must grow by so much before a mask alone says that a non-target progressed."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Criteria:
    """A set of published criteria.

    Attributes:
        name: as publications call it.
        measure: attribute of :class:`LesionMeasures` that is summed.
        words, unit: the sum in words, and its unit.
        longest_mm, perpendicular_mm: that a measurable lesion reaches.
        most_targets: lesions that are summed, the largest measurable ones of the baseline; None: every lesion of each
            study counts, measurable or not, new ones too.
        response: decrease from the baseline that is PR, as a fraction.
        progression: increase from the nadir that is PD.
        minor: decrease that is MR, where there is such a category.
        absolute_mm: PD also asks for one target whose longest diameter grew by so much.
        any_new_lesion: every new lesion on two slices is PD; else only a measurable one.
        baseline_after_radiotherapy: the baseline is the first study after radiotherapy, if there was any.
        confirm_within_days: PD so soon after radiotherapy needs a second study.
    """

    name: str
    measure: str
    words: str
    unit: str
    longest_mm: float
    perpendicular_mm: float
    most_targets: int | None
    response: float
    progression: float
    minor: float | None = None
    absolute_mm: float | None = None
    any_new_lesion: bool = False
    new_lesion_progresses: bool = True
    baseline_after_radiotherapy: bool = True
    confirm_within_days: int | None = None

    def of(self, lesion: LesionMeasures) -> float:
        """What is summed of a lesion."""
        return float(getattr(lesion, self.measure))

    def measurable(self, lesion: LesionMeasures) -> bool:
        """Whether a lesion is measurable by these criteria."""
        return lesion.measurable(self.longest_mm, self.perpendicular_mm)

    def targets(self, baseline: MeasuredStudy) -> tuple[str, ...]:
        """The target lesions of a baseline, the largest first; empty where every lesion counts."""
        if self.most_targets is None:
            return ()
        names = [name for name, lesion in baseline.lesions.items() if self.measurable(lesion)]
        return tuple(sorted(names, key=lambda name: -self.of(baseline.lesions[name]))[: self.most_targets])

    def total(self, study: MeasuredStudy, targets: Sequence[str]) -> float:
        """The sum in a study.

        Args:
            targets: of the baseline; one that merged with another counts as what it is part of, once.
        """
        if self.most_targets is None:
            return sum(self.of(lesion) for lesion in study.lesions.values())
        here = {study.merged.get(name, name) for name in targets}
        return sum(self.of(lesion) for name, lesion in study.lesions.items() if name in here)


@dataclass(frozen=True)
class Decision:
    """A category and why.

    Attributes:
        category: one of `CATEGORIES`, `NE` or `BASELINE`.
        rule: the rule that fired, in words with its numbers.
        numbers: the same for tables: sums, changes as fractions, days, names of lesions.
    """

    category: str
    rule: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def imaging_decision(criteria: Criteria, history: Sequence[MeasuredStudy], study: MeasuredStudy) -> Decision:
    """Compare a study with the studies before it.

    Args:
        history: the baseline and what followed it before this study, in order of time.
        study: the current one, which is never its own nadir.
    """
    baseline = history[0]
    targets = criteria.targets(baseline)
    sums = [criteria.total(one, targets) for one in history]
    lowest = min(range(len(sums)), key=lambda number: (sums[number], number))
    total, first, nadir = criteria.total(study, targets), sums[0], sums[lowest]
    numbers: dict[str, Any] = {
        "sum": total,
        "baseline_sum": first,
        "nadir_sum": nadir,
        "baseline_day": baseline.day,
        "nadir_day": history[lowest].day,
        "change_from_baseline": total / first - 1 if first else None,
        "change_from_nadir": total / nadir - 1 if nadir else None,
        "targets": targets,
    }
    progression = (
        _by_sum(criteria, numbers, targets, history[lowest], study)
        or _by_new_lesion(criteria, numbers, baseline, study)
        or _by_other_lesions(criteria, targets, history, study)
    )
    if progression:
        return Decision(PD, progression, numbers)
    category, rule = _no_progression(criteria, numbers, baseline, study)
    return Decision(category, rule, numbers)


def _by_sum(
    criteria: Criteria, numbers: Mapping[str, Any], targets: Sequence[str], nadir: MeasuredStudy, study: MeasuredStudy
) -> str:
    """Whether the sum grew enough; the rule in words if it did."""
    total, lowest = numbers["sum"], numbers["nadir_sum"]
    if lowest == 0:
        back = [name for name, lesion in study.lesions.items() if criteria.measurable(lesion)]
        counting = targets if criteria.most_targets is not None else back
        back = [name for name in back if name in {study.merged.get(one, one) for one in counting}]
        if not back:
            return ""
        return f"the sum was 0 on day {nadir.day}, and {_lesions(back)} can be measured again"
    if total < lowest * (1 + criteria.progression) * (1 - _ROUNDING):
        return ""
    rule = (
        f"{criteria.words} {_amount(criteria, total)} is {_percent(total / lowest - 1)} above the nadir of "
        f"{_amount(criteria, lowest)} (day {nadir.day}); PD is from {_percent(criteria.progression)}"
    )
    if criteria.absolute_mm is None:
        return rule
    grown = {name: _growth(name, nadir, study) for name in targets}
    most = max(grown, key=lambda name: grown[name])
    if grown[most] < criteria.absolute_mm * (1 - _ROUNDING):
        return ""
    return f"{rule} and one lesion {criteria.absolute_mm:g} mm longer: lesion {most} by {grown[most]:.1f} mm"


def _by_new_lesion(criteria: Criteria, numbers: dict[str, Any], baseline: MeasuredStudy, study: MeasuredStudy) -> str:
    old = {study.merged.get(name, name) for name in baseline.lesions} | set(baseline.lesions)
    new = [name for name in study.lesions if name not in old]
    counting = [name for name in new if _counts_as_new(criteria, study.lesions[name])]
    numbers |= {"new_lesions": tuple(new)}
    if not counting or not criteria.new_lesion_progresses:
        return ""
    kind = "is new since the baseline" if criteria.any_new_lesion else "is new since the baseline and measurable"
    return f"{_lesions(counting)} {kind if len(counting) == 1 else kind.replace('is', 'are', 1)}"


def _counts_as_new(criteria: Criteria, lesion: LesionMeasures) -> bool:
    return lesion.slices >= 2 if criteria.any_new_lesion else criteria.measurable(lesion)


def _by_other_lesions(
    criteria: Criteria, targets: Sequence[str], history: Sequence[MeasuredStudy], study: MeasuredStudy
) -> str:
    """Non-target lesions that grew beyond doubt, as far as a mask can tell."""
    if criteria.most_targets is None:
        return ""
    counted = {study.merged.get(name, name) for name in targets}
    for name, lesion in study.lesions.items():
        earlier = [one.lesions[name] for one in history if name in one.lesions]
        if name in counted or name not in history[0].lesions or not criteria.measurable(lesion):
            continue
        smallest = min(earlier, key=criteria.of)
        grown = criteria.of(lesion) >= criteria.of(smallest) * (1 + criteria.progression) * (1 - _ROUNDING)
        longer = lesion.longest_mm - smallest.longest_mm
        if grown and longer >= GROWTH_MM * (1 - _ROUNDING):
            change = criteria.of(lesion) / criteria.of(smallest) - 1
            return f"non-target lesion {name} is measurable, {_percent(change)} larger and {longer:.1f} mm longer"
    return ""


def _no_progression(
    criteria: Criteria, numbers: Mapping[str, Any], baseline: MeasuredStudy, study: MeasuredStudy
) -> tuple[str, str]:
    total, first = numbers["sum"], numbers["baseline_sum"]
    if not study.lesions:
        if baseline.lesions:
            return CR, f"none of the {len(baseline.lesions)} lesions of the baseline (day {baseline.day}) is left"
        return SD, f"nothing was there at the baseline (day {baseline.day}), and nothing is there now"
    new = "; a new lesion is too small to count" if numbers["new_lesions"] else ""
    if first == 0:
        return SD, f"nothing measurable was there at the baseline (day {baseline.day}), and nothing progressed{new}"
    change = total / first - 1
    size = (
        f"{criteria.words} {_amount(criteria, total)} is {_percent(change, signed=True)} against the baseline of "
        f"{_amount(criteria, first)} (day {baseline.day})"
    )
    if total <= first * (1 - criteria.response) * (1 + _ROUNDING):
        rule = f"{size}; PR is from −{_percent(criteria.response)}"
        blocked = numbers["new_lesions"] and criteria.any_new_lesion and criteria.new_lesion_progresses
        return (SD, f"{rule}, but a lesion is new on one slice") if blocked else (PR, rule + new)
    if criteria.minor is not None and total <= first * (1 - criteria.minor) * (1 + _ROUNDING):
        return MR, f"{size}; MR is from −{_percent(criteria.minor)} to −{_percent(criteria.response)}{new}"
    nadir = numbers["change_from_nadir"]
    above = "" if nadir is None else f" and {_percent(nadir, signed=True)} against the nadir"
    limits = f"between −{_percent(criteria.minor or criteria.response)} and +{_percent(criteria.progression)}"
    told = ""
    if nadir is not None and nadir >= criteria.progression and criteria.absolute_mm is not None:
        told = f"; no lesion is {criteria.absolute_mm:g} mm longer"
    return SD, f"{size}{above}: {limits}{told}{new}"


def _growth(name: str, before: MeasuredStudy, now: MeasuredStudy) -> float:
    """How much longer a lesion is, mm; one that merged counts as what it is part of."""
    lesion = now.lesions.get(now.merged.get(name, name))
    earlier = before.lesions.get(before.merged.get(name, name))
    return (lesion.longest_mm if lesion else 0.0) - (earlier.longest_mm if earlier else 0.0)


def _lesions(names: Sequence[str]) -> str:
    return f"lesion {names[0]}" if len(names) == 1 else f"lesions {', '.join(names)}"


def _amount(criteria: Criteria, value: float) -> str:
    return f"{value:.{1 if criteria.unit == 'mm' else 0}f} {criteria.unit}"


def _percent(value: float, signed: bool = False) -> str:
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return f"{text.removesuffix('.0').replace('-', '−')} %"
