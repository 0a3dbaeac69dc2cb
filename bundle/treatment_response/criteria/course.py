"""A patient's studies in order of time: which is the baseline, what each is called, and what later studies confirm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from treatment_response.criteria.clinical import REPLACEMENT_MG, WORSE, ClinicalState, PatientCourse
from treatment_response.criteria.measurements import MeasuredStudy
from treatment_response.criteria.rules import (
    BASELINE,
    CATEGORIES,
    CR,
    IMAGING,
    NE,
    PD,
    PR,
    SD,
    Criteria,
    Decision,
    imaging_decision,
)
from treatment_response.problems import DataProblem, Problem

HOLD_DAYS = 28
"""A response must hold so long; a progression that needs a second study is judged on one at least so much later."""
TREATMENT_WINDOW_DAYS = 28
"""A baseline before treatment should not be older."""
_RESPONSES = CATEGORIES[: CATEGORIES.index(SD)]


@dataclass(frozen=True)
class StudyDecision:
    """The answer for one study.

    Attributes:
        study, day: which.
        kind: the criteria's name; `IMAGING` where steroids or clinical state are not known.
        decision: category, rule and numbers.
        confirmation: what later studies say of a response or a progression; empty where nothing needs it.
        remarks: what a reader must know beside it.
    """

    study: str
    day: int
    kind: str
    decision: Decision
    confirmation: str = ""
    remarks: tuple[str, ...] = ()


def decide(
    studies: Sequence[MeasuredStudy], criteria: Criteria, course: PatientCourse | None = None, where: str = "patient"
) -> tuple[StudyDecision, ...]:
    """Judge every study of a patient by one set of criteria.

    Args:
        studies: in order of their days, as :func:`measure_studies` gives them.
        course: operations, radiotherapy, treatments, steroids and clinical states.
        where: the patient, for messages.

    Returns:
        One per study; the first study of all, and each that begins anew, is the `BASELINE`.

    Raises:
        DataProblem: a study lies on the day of an operation.
    """
    course = course or PatientCourse()
    _check(studies, course, where)
    answers = [_answer(number, studies, criteria, course) for number in range(len(studies))]
    starts = [_baseline(number, studies, criteria, course)[0] for number in range(len(studies))]
    return tuple(
        replace(answer, confirmation=_confirmation(number, answers, starts, criteria, course))
        for number, answer in enumerate(answers)
    )


def _check(studies: Sequence[MeasuredStudy], course: PatientCourse, where: str) -> None:
    same = sorted({study.name for study in studies if study.day in course.operations})
    if same:
        what = f"study '{same[0]}' lies on the day of an operation, so it is not known which came first"
        raise DataProblem(Problem(where, what, "move the operation's day before or after the study"))


def _baseline(
    number: int, studies: Sequence[MeasuredStudy], criteria: Criteria, course: PatientCourse
) -> tuple[int, str, str]:
    """The baseline of a study, which one that is in words, and a remark on it."""
    day = studies[number].day
    operation = max((one for one in course.operations if one < day), default=None)
    inside = [
        index
        for index, study in enumerate(studies)
        if study.day <= day and (operation is None or study.day > operation) and not study.not_evaluable
    ]
    if not inside:
        return number, "", ""
    ends = [one for one in course.radiotherapy_ends if one < day and (operation is None or one > operation)]
    starts = [one for one in course.treatment_starts if one < day and (operation is None or one > operation)]
    end = max(ends, default=None) if criteria.baseline_after_radiotherapy else None
    start = max(starts, default=None)
    if start is not None and (end is None or start > end):
        before = [index for index in inside if studies[index].day <= start]
        if before:
            age = start - studies[before[-1]].day
            old = f"the baseline is {age} days older than the treatment" if age > TREATMENT_WINDOW_DAYS else ""
            return before[-1], f"last study before the treatment of day {start}", old
        return inside[0], "first study", f"there is no study before the treatment of day {start}"
    if end is not None:
        after = [index for index in inside if studies[index].day > end]
        if after:
            return after[0], f"first study after the radiotherapy that ended on day {end}", ""
    if operation is not None:
        return inside[0], f"first study after the operation of day {operation}", ""
    return inside[0], "first study", ""


def _answer(number: int, studies: Sequence[MeasuredStudy], criteria: Criteria, course: PatientCourse) -> StudyDecision:
    study = studies[number]
    remarks = list(study.doubts)
    if study.not_evaluable:
        return StudyDecision(study.name, study.day, IMAGING, Decision(NE, study.not_evaluable), "", tuple(remarks))
    start, which, remark = _baseline(number, studies, criteria, course)
    remarks += [remark] * bool(remark)
    if start == number:
        earlier = "" if number else "; there is no earlier study to compare it with"
        targets = criteria.targets(study)
        numbers = {"sum": criteria.total(study, targets), "baseline_day": study.day, "targets": targets}
        if criteria.most_targets is not None and not targets:
            remarks.append("no lesion is measurable by these criteria")
        decision = Decision(BASELINE, f"baseline: {which}{earlier}", numbers)
        return StudyDecision(study.name, study.day, IMAGING, decision, "", tuple(remarks))
    history = [one for one in studies[start:number] if not one.not_evaluable]
    imaging = imaging_decision(criteria, history, study)
    known = course.at(study.day)
    kind, decision = with_clinical_state(criteria, imaging, known, course.at(history[0].day))
    if kind == IMAGING and known.state == WORSE:
        remarks.append("the patient is clinically worse, which alone can be progression")
    return StudyDecision(study.name, study.day, kind, decision, "", tuple(remarks))


def with_clinical_state(
    criteria: Criteria, imaging: Decision, now: ClinicalState, then: ClinicalState
) -> tuple[str, Decision]:
    """Turn an imaging category into the criteria's own, if steroids and clinical state are known.

    Clinical deterioration is PD. CR asks for no steroids beyond replacement; on a stable or lower dose it is PR. PR, MR
    and SD ask for a dose that is stable or lower than at the baseline: on a higher one, without deterioration, the
    study is not evaluable. More steroids alone are never PD.

    Args:
        imaging: by measures alone.
        now, then: at the study and at its baseline.

    Returns:
        What the answer is called, and the answer; `IMAGING` and the imaging decision where something is not known.
    """
    if now.steroids_mg is None or then.steroids_mg is None or now.state is None:
        return IMAGING, imaging
    numbers = {
        **imaging.numbers,
        "imaging_category": imaging.category,
        "steroids_mg": now.steroids_mg,
        "baseline_steroids_mg": then.steroids_mg,
        "clinical_state": now.state,
    }
    dose = f"{now.steroids_mg:g} mg of dexamethasone a day against {then.steroids_mg:g} mg at the baseline"
    category, rule = imaging.category, f"{imaging.rule}; clinically {now.state}, {dose}"
    more = now.steroids_mg > max(then.steroids_mg, REPLACEMENT_MG)
    if category != PD and now.state == WORSE:
        category, rule = PD, f"the patient is clinically worse (imaging: {imaging.category}, {imaging.rule})"
    elif category != PD and more:
        category = NE
        rule = (
            f"more steroids ({dose}) without deterioration: neither response nor stable (imaging: {imaging.category})"
        )
    elif category == CR and now.steroids_mg > REPLACEMENT_MG:
        category, rule = PR, f"imaging is CR, but on steroids beyond replacement ({dose})"
    return criteria.name, Decision(category, rule, numbers)


def _confirmation(
    number: int,
    answers: Sequence[StudyDecision],
    starts: Sequence[int],
    criteria: Criteria,
    course: PatientCourse,
) -> str:
    """What the next study that is late enough, has the same baseline and can be judged says."""
    answer = answers[number]
    category = answer.decision.category
    remark = ""
    if category == PD:
        if criteria.confirm_within_days is None:
            return ""
        ends = [end for end in course.radiotherapy_ends if end <= answer.day]
        if not ends:
            return "not known whether it needs a second study: no end of radiotherapy is given"
        since = answer.day - max(ends)
        if since > criteria.confirm_within_days:
            return ""
        remark = f" ({since} days after radiotherapy)"
    elif category not in _RESPONSES:
        return ""
    later = [
        other
        for other in range(number + 1, len(answers))
        if starts[other] == starts[number]
        and answers[other].day >= answer.day + HOLD_DAYS
        and answers[other].decision.category != NE
    ]
    if not later:
        return f"preliminary{remark}: no study at least {HOLD_DAYS} days later"
    judge = answers[later[0]]
    verdict = judge.decision.category
    if category == PD:
        dated = f", progression dates back to day {answer.day}"
        return (
            f"confirmed on day {judge.day}{dated}" if verdict == PD else f"not confirmed on day {judge.day}: {verdict}"
        )
    held = CATEGORIES.index(verdict) <= CATEGORIES.index(category)
    return f"confirmed on day {judge.day}" if held else f"not confirmed on day {judge.day}: {verdict}"
