"""Measure response from masks: diameters, volumes, RANO 2.0, its volumes and RANO-BM, without any network."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from treatment_response.commands import command
from treatment_response.criteria.clinical import PatientCourse, read_clinical_table
from treatment_response.criteria.mask_manifest import LabelNames, read_mask_manifest
from treatment_response.criteria.patient import CRITERIA_SETS, PatientResponse
from treatment_response.criteria.prepared import read_prepared_studies
from treatment_response.criteria.sources import PatientStudies
from treatment_response.criteria.tables import write_tables
from treatment_response.dicom.response_studies import find_dicom_patients, write_response_reports
from treatment_response.files import check_folder
from treatment_response.problems import DataProblem
from treatment_response.processes import worker_pool
from treatment_response.report.response_page import measured_patient


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; ``--help`` explains them."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", type=Path, metavar="DATASET", help="a prepared data set of metastases")
    source.add_argument("--dicom", type=Path, metavar="DICOM_DIR", help="MR with SEG or RTSTRUCT; never written to")
    source.add_argument("--masks", type=Path, metavar="MANIFEST.csv", help="label maps, one row per study")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="tables and one page per patient")
    parser.add_argument(
        "--labels", nargs="+", default=["1=enhancing"], metavar="VALUE=NAME", help="values of the masks"
    )
    parser.add_argument("--region", default="enhancing", metavar="NAME", help="the compartment that is judged")
    parser.add_argument("--criteria", nargs="+", choices=[*CRITERIA_SETS], default=["rano2", "rano-bm"])
    parser.add_argument("--clinical", type=Path, metavar="CSV", help="steroids, clinical state, operations, treatments")
    parser.add_argument(
        "--contouring-sd", type=float, default=0.3, metavar="MM", help="contouring uncertainty (0.3 mm)"
    )
    parser.add_argument("--no-pages", action="store_true", help="tables only")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    return parser.parse_args(arguments)


def find_patients(options: argparse.Namespace) -> list[PatientStudies]:
    """The patients of files that are no DICOM, not yet read."""
    if options.dataset:
        return read_prepared_studies(options.dataset)
    return read_mask_manifest(options.masks, LabelNames.parse(options.labels, options.region))


@command("what was written so far is whole; the same command does everything again")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (a patient could not be measured) or 2 (nothing could)."""
    options = parse(arguments)
    check_folder(options.out)
    from_dicom, problems = find_dicom_patients(options.dicom, None, options.workers) if options.dicom else ([], [])
    patients = [one.studies for one in from_dicom] if options.dicom else find_patients(options)
    if not patients:
        raise DataProblem(*problems)
    courses = read_clinical_table(options.clinical) if options.clinical else {}
    criteria = tuple(dict.fromkeys(one for name in options.criteria for one in CRITERIA_SETS[name]))
    pages = None if options.no_pages else options.out / "patients"
    measure = partial(measured_patient, criteria=criteria, contouring_sd_mm=options.contouring_sd, pages=pages)
    given = [courses.get(patient.clinical_name or patient.subject, PatientCourse()) for patient in patients]
    if options.workers == 1:
        answers = list(map(measure, patients, given))
    else:
        with worker_pool(min(options.workers, len(patients)), [measured_patient.__module__]) as pool:
            answers = list(pool.map(measure, patients, given))
    measured = [answer for answer in answers if isinstance(answer, PatientResponse)]
    problems += [one for answer in answers if isinstance(answer, DataProblem) for one in answer.problems]
    if not measured:
        raise DataProblem(*problems)
    write_tables(options.out, measured)
    by_subject = {answer.subject: answer for answer in measured}
    for patient in from_dicom:
        if patient.studies.subject in by_subject:
            answer = by_subject[patient.studies.subject]
            problems += write_response_reports(patient, answer, options.out / "dicom")[1]
    for problem in problems:
        print(problem, file=sys.stderr)
    studies = sum(len(patient.studies) for patient in measured)
    left_out = f", {len(patients) - len(measured)} patients left out" if problems else ""
    print(f"{options.out}: {studies} studies of {len(measured)} patients measured{left_out}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
