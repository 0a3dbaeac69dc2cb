"""Every command in the README and in docs/ is run on a small cohort, page by page: later ones need earlier ones.

What a page says to save as a file is saved first. Its ``bash`` blocks are its commands. They run in a copy of the
checkout (so that nothing is written into it), with this environment's libraries (:mod:`preloaded_python`). SHRINK
makes them small; nothing else about them changes. A command that has run for an earlier page does not run again. Each
other Python block must run too. Where an optional program is missing, the commands that need it are left out. The
page's other commands still run, and the test is then reported as skipped with what to install.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from orthanc_server import missing_orthanc
from preloaded_python import preloaded_python

pytestmark = pytest.mark.end_to_end
REPOSITORY = Path(__file__).resolve().parent.parent

# The order matters: pages start from what those before have made. Pages not named here come after.
ORDER = [
    "docs/tutorials/researcher.md",
    "docs/how-to/prepare-data.md",
    "README.md",
    "bundle/docs/README.md",
    "docs/tutorials/engineer.md",
    "docs/tutorials/rice-net.md",
]
# What a page writes in capitals stands for the reader's own; here it is what the researcher's tutorial has made, and
# this checkout itself for another one.
OWN = {
    "DICOM_DIR": "build/cohort/dicom",
    "DATASET": "build/own_dataset",
    "COHORT": "build/cohort",
    "RUN": "runs/first",
    "OTHER_CHECKOUT": ".",
}
SHRINK = [
    (r"--system rice --patients 24 --spacing 2", "--system rice --patients 2 --mixed 0 --spacing 3"),
    # Seven patients have two classes in each of two folds.
    (r"--system rano --patients 12 --spacing 7", "--system rano --patients 7 --spacing 10"),
    (r"(build/rano_data.*) --folds 4", r"\1 --folds 2"),
    (r"make_cohort\.py --out", "make_cohort.py --patients 6 --lesions 9 --out"),
    # Reading DICOM is what costs most: three patients are a hospital too.
    (
        r"^(python scripts/prepare_dicom\.py) build/cohort/dicom --out",
        r"mkdir build/own_dicom && cp -r build/cohort/dicom/PA00000[2-4] build/own_dicom && \1 build/own_dicom --out",
    ),
    (r"run training (.*?)( --max_epochs \d+|$)", r"run training \1 --max_epochs 2"),
    (r"cross_validate\.py", "cross_validate.py --epochs 2"),
    (r"seq 1 20", "seq 0 0"),
    (r"build/null_\$seed", "build/shuffled"),  # whose folds another command has trained with this seed
    (r"benchmarks/server\.py", "benchmarks/server.py --requests 3"),
    (r"benchmarks/coverage\.py( --repeats 1000)?$", "benchmarks/coverage.py --repeats 3"),
    (r"benchmarks/spatial_null\.py", "benchmarks/spatial_null.py --pairs 2"),
    (
        r"learning_curve\.py --out (\S+) --niche texture intensity",
        r"learning_curve.py --sizes 8 --test-lesions 8 --ceiling-lesions 200 --epochs 1 --out \1",
    ),
    (r"benchmarks/occlusion\.py$", "benchmarks/occlusion.py --size 16 --sample 1"),
    (r"compare\.py (.*)--trials \d+", r"compare.py \1--trials 2"),
    (r"--shuffle-labels 20", "--shuffle-labels 2"),
]
RICE = "its like on a tiny data set: tests/systems/test_rice_net.py; by hand: the stages of make demo-rice"
EXTERNAL = "tests/systems/test_external_validation.py; the tutorials make one data set of each system"
RANO = "its like on a tiny data set: tests/systems/test_rano_net.py; by hand: the stages of make demo-rano"
CLUSTER = "it runs until Ctrl-C, or needs what does: tests/evaluation/test_trials_engines.py has a real cluster"
# Commands that the test suite cannot run inside itself, or that another page has, and where they are run instead.
ELSEWHERE = {
    "make demo": "by hand on a fresh clone: it takes minutes; its stages are the researcher's tutorial",
    "make study": "by hand: it takes most of an hour",
    "make study-rano": "by hand: it takes hours",
    "make test": "this is it",
    "make install": "this environment is its result",
    "make serve": "it runs until Ctrl-C: tests/app/test_serve.py",
    "python scripts/serve.py --studies FOLDER": "it runs until Ctrl-C: tests/app/test_serve.py",
    "source .venv/bin/activate": "done by this test's PATH",
    "python benchmarks/ablation.py --out build/ablation": "tests/benchmarks/test_ablation.py; all of it takes hours",
    "python benchmarks/delivered_models.py --out build/delivered": "by hand: it trains for most of an hour",
    "python benchmarks/delivered_models.py --out build/delivered --write": "by hand: it trains for most of an hour",
    "python benchmarks/fuzz_ingest.py": "tests/benchmarks/test_fuzz_ingest.py, of fewer cohorts",
    "python benchmarks/registration.py": "tests/benchmarks/test_known_motions.py registers two of its pairs",
    "python benchmarks/registration.py --motions 5": "tests/benchmarks/test_known_motions.py; all of it takes minutes",
    "python benchmarks/audit_cohort.py --json audit.json": "tests/benchmarks/test_audit.py; all of it takes minutes",
    "python scripts/make_cohort.py --system rice --out COHORT": "tests/cohort/test_rice_write.py, of fewer patients",
    "python scripts/prepare_dicom.py DICOM_DIR --out DATASET": "docs/how-to/prepare-data.md, with --key",
    "python scripts/download_lumiere.py --out LUMIERE_DIR": "internet: tests/cohort/test_lumiere_download.py",
    "python scripts/prepare_lumiere.py LUMIERE_DIR --out DATASET": "the same page prepares a synthetic one",
    "python scripts/report.py --dataset build/dataset --run build/run --out build/report_fold": (
        "docs/tutorials/researcher.md, with more results"
    ),
    "python scripts/prepare_dicom.py --nifti manifest.csv --out DATASET": "tests/cohort/test_manifest.py",
    "python scripts/prepare_longitudinal.py DICOM_DIR --clinical CSV --out DATASET --key who-is-who.csv": (
        "tests/longitudinal/test_prepare_events.py"
    ),
    "python scripts/prepare_longitudinal.py --nifti MANIFEST.csv --out DATASET": (
        "tests/longitudinal/test_refused_events.py, its manifest"
    ),
    "python scripts/prepare_dicom.py DICOM_DIR --out DATASET --review DATASET/review.csv": (
        "tests/dicom/test_ingest_review.py; the synthetic clinic leaves nothing in doubt"
    ),
    "python scripts/compare.py build/dataset --external build/other --out build/external --methods size clinical": (
        "tests/evaluation/test_external.py; the tutorials make one data set"
    ),
    "python scripts/validate_external.py build/other --model build/cv/ensemble/model.pt --overlay rano.json "
    "--trained-on build/dataset --out build/external": EXTERNAL,
    "python scripts/report.py --dataset build/other --run build/external --out build/report_external": EXTERNAL,
    "python benchmarks/occlusion.py --size 64": "by hand: minutes; the same page runs a small size",
    "python benchmarks/occlusion.py --size 128 --cube 16 --stem-stride 2": "by hand: minutes",
    "python benchmarks/occlusion.py --size 64 --network DenseNet121": "by hand: minutes",
    "python benchmarks/occlusion.py --size 64 --network DenseNet264 --cube 16 --channels 6": "by hand: minutes",
    "dask scheduler --no-dashboard": CLUSTER,
    "dask worker tcp://HOST:8786 --nworkers 8 --nthreads 1 --no-dashboard": CLUSTER,
    "python scripts/compare.py DATASET --out build/comparison --trials 50 --cluster tcp://HOST:8786": CLUSTER,
    "python scripts/cross_validate.py build/rice_dataset --out build/rice_cv "
    "--overlay rice_net.json rice_net_small.json --test": RICE,
    "python scripts/compare.py build/rice_dataset --out build/rice_comparison "
    "--overlay rice_net.json rice_net_small.json --folds stored --trials 5 "
    "--methods prevalence each features radiomics network "
    "--features lesion_mean_dose_gy lesion_max_dose_gy months_since_radiotherapy": RICE,
    "python -m monai.bundle run inferring --config_file \"['bundle/configs/inference.json',"
    "'bundle/configs/rice_net.json','bundle/configs/rice_net_small.json']\" --dataset_dir build/rice_dataset "
    "--case_list test --model_path build/rice_cv/ensemble/model.pt --output_dir build/rice_maps": RICE,
    "python scripts/report.py --dataset build/rice_dataset --run build/rice_cv --cams build/rice_maps "
    "--comparison build/rice_comparison --out build/rice_report": RICE,
    "python scripts/compare.py build/rano_data --out build/rano_comparison --overlay rano.json rano_small.json "
    "--folds stored --trials 4 --methods prevalence volume-rules volumes network": RANO,
    "python scripts/cross_validate.py build/rano_data --out build/rano_cv --overlay rano.json rano_small.json "
    "--folds 4": RANO,
    "python -m monai.bundle run inferring --config_file \"['bundle/configs/inference.json',"
    "'bundle/configs/rano.json','bundle/configs/rano_small.json']\" --dataset_dir build/rano_data "
    '--folds "[0]" --model_path build/rano_cv/fold_0/models/model.pt --output_dir build/rano_maps': RANO,
    "python scripts/report.py --dataset build/rano_data --run build/rano_cv --cams build/rano_maps "
    "--comparison build/rano_comparison --out build/rano_report": RANO,
    "python benchmarks/case_system.py": "by hand: half a minute of two cores",
    "python benchmarks/rano_step.py": "by hand: minutes, or a GPU",
    "python benchmarks/rice_training.py": "by hand: minutes",
    "python benchmarks/rice_training.py --size 224 --cases 24": "by hand, on a machine with a GPU",
    "python scripts/compare.py DATASET --out build/rano_rules --overlay rano.json --folds stored --trials 5 "
    "--methods prevalence volume-rules volumes": "tests/evaluation/test_volume_rules.py, on its pairs",
    "make -C benchmarks comparison DATASET=study/dataset": "by hand: it takes an hour",
    "make -C benchmarks comparison DATASET=study/dataset TRIALS=2 EPOCHS=3": "by hand: it needs its own environment",
    "make -C benchmarks training DATASET=study/dataset": "by hand: it needs an environment of its own",
    "make -C benchmarks training DATASET=study/dataset EPOCHS=10": "by hand: it needs an environment of its own",
}
# Optional programs that a page may call by name, and the Debian package of each.
OPTIONAL_PROGRAMS = {
    "Orthanc": "orthanc",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "dciodvfy": "dicom3tools",
    "dcmcjpls": "dcmtk",
    "dcmdump": "dcmtk",
    "dsrdump": "dcmtk",
    "npm": "npm",
    "plastimatch": "plastimatch",
    "storescu": "dcmtk",
}
# Commands that start an optional program themselves, and what says whether it is missing.
NEEDS = {"python benchmarks/server.py": missing_orthanc}


def pages(repository: Path) -> list[Path]:
    found = [repository / "README.md", repository / "bundle/docs/README.md", repository / "benchmarks/README.md"]
    found += sorted((repository / "docs").rglob("*.md"))
    rank = {name: index for index, name in enumerate(ORDER)}
    return sorted(found, key=lambda page: rank.get(str(page.relative_to(repository)), len(rank)))


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks of a language, but those to be saved as files."""
    saved = files(page).values()
    found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [block for block in found if block not in saved]


def files(page: Path) -> dict[str, str]:
    """Name → text of the blocks that the page says to save: "save it as `NAME`:", and the block."""
    form = r"[Ss]ave it as\s+`([\w.]+)`:\n```\w+\n(.*?)^```"
    return dict(re.findall(form, page.read_text(), flags=re.MULTILINE | re.DOTALL))


def own(text: str) -> str:
    """The text with the reader's own folders put in."""
    return re.sub(r"\b(" + "|".join(OWN) + r")\b", lambda match: OWN[match[1]], text)


def commands(page: Path) -> list[str]:
    """The page's commands, one a line: continuation lines joined, comments removed."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    lines = [re.sub(r"\s+#\s.*$", "", line).strip() for line in text.splitlines()]
    return [re.sub(r"\s+", " ", line) for line in lines if line and not line.startswith("#")]


def missing_program(command: str) -> str | None:
    """Which optional program a command lacks here and what to install, or None if it can run."""
    if command in NEEDS:
        return NEEDS[command]()
    called = next((word for word in shlex.split(command) if word in OPTIONAL_PROGRAMS), None)
    if called is None or shutil.which(called):
        return None
    return f"{called} is missing: apt-get install {OPTIONAL_PROGRAMS[called]}"


@pytest.fixture(scope="module")
def checkout(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("docs") / "checkout"
    listed = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (repository / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def have_run() -> set[str]:
    """Commands, as they were run, that ended well."""
    return set()


@pytest.mark.parametrize("page", pages(REPOSITORY), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_of_the_page_runs(page: Path, checkout: Path, have_run: set[str]) -> None:
    python = preloaded_python()
    environment = os.environ | python.environment
    left_out = []
    for name, text in files(page).items():
        (checkout / name).write_text(text)
    for command in commands(page):
        if command in ELSEWHERE:
            continue
        if reason := missing_program(command):
            left_out.append(f"'{command}' was left out, {reason}")
            continue
        small = own(command)
        for pattern, replacement in SHRINK:
            small = re.sub(pattern, replacement, small)
        if small in have_run:
            continue
        run = subprocess.run(
            ["bash", "-c", small], cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{small}\n{run.stdout[-2000:]}\n{run.stderr[-3000:]}"
        have_run.add(small)
    for block in blocks(page, "python"):
        run = subprocess.run(
            [python.python, "-c", own(block)],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{block}\n{run.stderr[-3000:]}"
    if left_out:
        pytest.skip("; ".join(left_out))


@pytest.mark.parametrize("command", ["python benchmarks/server.py", "dcmdump build/file.dcm"])
def test_a_command_without_its_program_is_left_out_with_what_to_install(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install" in (missing_program(command) or "")


@pytest.mark.parametrize("command", ["python benchmarks/server.py --without-pacs", "dcmdump build/file.dcm"])
def test_a_command_with_its_program_is_not_left_out(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dcmdump").write_text("#!/bin/sh\n")
    (tmp_path / "dcmdump").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_program(command) is None


def test_every_command_that_needs_a_program_stands_on_a_page(repository: Path) -> None:
    on_pages = {command for page in pages(repository) for command in commands(page)}
    assert on_pages >= NEEDS.keys()


def test_links_between_pages_lead_somewhere(repository: Path) -> None:
    for page in pages(repository):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(repository)} links to {target}"
