"""How bad input is told to the user: one sentence that says which case, what is wrong and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the input.

    Attributes:
        where: the case, file or row, in words that carry no patient name, id or birth date.
        what: what was found, and what was expected.
        remedy: what the user can do about it.
    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}."


class DataProblem(ValueError):
    """Input that cannot be used. Its text is the problems, one line each; command lines print it without a traceback.

    Args:
        problems: at least one problem; several are reported at once so that the user can mend them together.
    """

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[type[DataProblem], tuple[Problem, ...]]:
        """Come whole out of another process."""
        return type(self), self.problems


def check_least(*options: tuple[str, float | None, float]) -> None:
    """Refuse numbers that are below the least that means something.

    Args:
        options: name, number (None where it was not given) and least, of each.

    Raises:
        DataProblem: with every number that is too small.
    """
    problems = [
        Problem(name, f"{number} was asked for", f"use {least} or more")
        for name, number, least in options
        if number is not None and number < least
    ]
    if problems:
        raise DataProblem(*problems)


def data_problem_in(error: BaseException | None) -> DataProblem | None:
    """The `DataProblem` that an error comes from, if any."""
    while error is not None:
        if isinstance(error, DataProblem):
            return error
        error = error.__cause__
    return None
