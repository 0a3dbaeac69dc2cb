"""How many lesions of MRI 1 have no label because their follow-up is in doubt, by lesions per patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LARGEST_SHARE = 0.05
"""With a larger share of the lesions of MRI 1 in doubt, the range is the headline."""
MOST = 4
"""Patients with so many lesions or more are counted together."""
NOTE_START = "Doubtful lesions:"


@dataclass(frozen=True)
class LesionCount:
    """Lesions of MRI 1 of the patients with equally many.

    Attributes:
        per_patient: how many each patient has: ``1``, ``2``, ``3`` or ``4+``.
        lesions: of these patients. doubtful: how many of them have no label.
    """

    per_patient: str
    lesions: int
    doubtful: int


@dataclass(frozen=True)
class DoubtfulCounts:
    """How many lesions of MRI 1 have no label, by lesions per patient."""

    groups: tuple[LesionCount, ...]

    @property
    def lesions(self) -> int:
        """Of MRI 1, with and without a label."""
        return sum(group.lesions for group in self.groups)

    @property
    def doubtful(self) -> int:
        """Those without a label."""
        return sum(group.doubtful for group in self.groups)

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.doubtful / self.lesions if self.lesions else 0.0

    @property
    def many(self) -> bool:
        """Whether the range is the headline."""
        return self.share > LARGEST_SHARE

    @property
    def note(self) -> str:
        """The sentence that stands under every table."""
        if not self.doubtful:
            return f"{NOTE_START} none of the {self.lesions} lesions of MRI 1."
        first, *others = (group for group in self.groups if group.lesions)
        unit = "lesion" if first.per_patient == "1" else "lesions"
        parts = [f"{first.per_patient} {unit} per patient {first.doubtful} of {first.lesions}"]
        parts += [f"{group.per_patient}: {group.doubtful} of {group.lesions}" for group in others]
        have = "has" if self.doubtful == 1 else "have"
        their = "its" if self.doubtful == 1 else "their"
        return (
            f"{NOTE_START} {self.doubtful} of {self.lesions} lesions of MRI 1 ({self.share:.1%}) {have} no label "
            f"because {their} follow-up is in doubt: {', '.join(parts)}."
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "note": self.note,
            "lesions_of_mri1": self.lesions,
            "doubtful": self.doubtful,
            "share": self.share,
            "by_lesions_per_patient": [vars(group) for group in self.groups],
        }


def count_doubtful(labelled: Sequence[str], doubtful: Sequence[str]) -> DoubtfulCounts:
    """Count lesions of MRI 1.

    Args:
        labelled: the person of each lesion with a label. doubtful: the person of each lesion without one.
    """
    lesions, without = Counter([*labelled, *doubtful]), Counter(doubtful)
    groups = []
    for number in range(1, MOST + 1):
        persons = [person for person, count in lesions.items() if min(count, MOST) == number]
        name = f"{number}+" if number == MOST else str(number)
        groups.append(LesionCount(name, sum(lesions[p] for p in persons), sum(without[p] for p in persons)))
    return DoubtfulCounts(tuple(groups))
