# Two commands do all the set-up: `make demo` and `make test`. `make study` measures what the demo only shows.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
PY := .venv/bin/python
export TREATMENT_RESPONSE_DATA ?= ../shared/data

# Stamps of the study are not intermediate files.
.SECONDARY:

.PHONY: install demo study test lint clean serve

install: .venv/installed

# numpy, setuptools and wheel come first because pyradiomics builds its C extension against them. The last pip line adds
# what this platform's torch needs at run time (the CUDA libraries on a GPU machine, nothing beside a CPU build).
.venv/installed: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 with headers and venv (Debian: python3.11-dev python3.11-venv), or set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	grep -E '^(numpy|setuptools|wheel)==' requirements.txt | $(PY) -m pip install -q --no-deps -r /dev/stdin
	$(PY) -m pip install -q --no-deps --no-build-isolation -r requirements.txt
	$(PY) -m pip install -q "$$(grep '^torch==' requirements.txt)"
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: lint
	$(PY) -m pytest

# The stages of the demo and of the study. Each folder's stamp, .done, is newer than what the folder was made from, or the
# stage is made again. The stamp is written last, so a stage that failed is never taken for finished.
SRC := bundle/treatment_response
room = $(shell find $(addprefix $(SRC)/,$(1)) -name '*.py' -o -name '*.html' -o -name '*.json')
CONFIGS := $(wildcard bundle/configs/*.json)
TRIALS := $(addprefix $(SRC)/evaluation/,cross_validation.py trials.py) $(call room,evaluation/engines metrics)
VIEWS := $(addprefix $(SRC)/evaluation/,lesion_views.py write_lesion_views.py views.py)
bundle_run = $(PY) -m monai.bundle run

# The path from DICOM to the report on one split. Two single-thread processes beat one with two threads, so the network is
# trained and explained while the methods are compared; --output-sync keeps their output apart.
demo: demo/dataset/.done
	@echo "Training, explaining and comparing, two at a time; each tells what it did when it is finished (about two minutes)."
	@$(MAKE) --no-print-directory --jobs=2 --output-sync demo/figures/.done
	@echo
	@echo "The report: $(CURDIR)/demo/report.html (synthetic data, research use only; it shows the path, not performance)"
	@echo "The class activation maps of the held-out lesions: $(CURDIR)/demo/cams"
	@echo "Next: 'make study' holds every patient out once and scores the maps, 'make serve' shows them in a viewer, and"
	@echo "docs/tutorials/researcher.md takes your own DICOM the same way."

# The demo's cohort is small, and no number from it says anything; the study's is the default one.
demo/cohort/.done: SIZE := --patients 18 --lesions 30
%/cohort/.done: .venv/installed scripts/make_cohort.py $(call room,cohort/synthetic dicom/write dicom/write_cohort.py geometry)
	rm -rf $(@D)
	$(PY) scripts/make_cohort.py $(SIZE) --out $(@D)
	touch $@

%/dataset/.done: %/cohort/.done scripts/prepare_dicom.py $(call room,cohort dicom geometry)
	rm -rf $(@D)
	$(PY) scripts/prepare_dicom.py $*/cohort/dicom --clinical $*/cohort/clinical.csv --out $(@D)
	touch $@

# Fold 0 through the bundle's own command line.
demo/run/.done: demo/dataset/.done $(CONFIGS) $(call room,networks losses transforms cases training) $(VIEWS)
	rm -rf demo/run
	OMP_NUM_THREADS=1 $(bundle_run) training --config_file bundle/configs/train.json --dataset_dir demo/dataset --output_dir demo/run
	$(bundle_run) evaluating --config_file "['bundle/configs/train.json','bundle/configs/evaluate.json']" \
	  --dataset_dir demo/dataset --output_dir demo/run
	touch $@

demo/cams/.done: demo/run/.done $(call room,cases inference explain)
	rm -rf demo/cams
	$(bundle_run) inferring --config_file bundle/configs/inference.json --dataset_dir demo/dataset --folds "[0]" \
	  --model_path demo/run/models/model.pt --output_dir demo/cams
	touch $@

# One split: size, gradient features and the paper's network side by side.
COMPARISON := scripts/compare.py $(CONFIGS) $(TRIALS) \
  $(call room,evaluation/comparison evaluation/classical features networks losses transforms cases training)
demo/comparison/.done: demo/dataset/.done $(COMPARISON)
	rm -rf demo/comparison
	$(PY) scripts/compare.py demo/dataset --out demo/comparison --trials 1 --methods size gradient cnn
	touch $@

REPORT := scripts/report.py $(call room,evaluation report)
demo/figures/.done: demo/run/.done demo/cams/.done demo/comparison/.done $(REPORT)
	rm -rf demo/report.html demo/report.json demo/figures demo/tables
	$(PY) scripts/report.py --dataset demo/dataset --run demo/run --cams demo/cams --comparison demo/comparison --out demo
	touch $@

# What the demo leaves out: a cohort of the published size, every patient held out once, five splits, the controls, the
# maps' scores.
study: study/figures/.done
	@echo
	@echo "The report: $(CURDIR)/study/report.html (synthetic data, research use only)"
	@echo "README's picture of maps: $(CURDIR)/study/figures/groups.png; the maps' scores: $(CURDIR)/study/explanations"
	@echo "Next: docs/explanation/results.md says what was measured, with which commands, and what it means."

study/cross_validation/.done: study/dataset/.done scripts/cross_validate.py $(TRIALS)
	rm -rf $(@D)
	$(PY) scripts/cross_validate.py study/dataset --out $(@D)
	touch $@

# Networks that could learn nothing: a control of maps, and of what scoring training lesions is worth.
study/shuffled/.done: study/dataset/.done scripts/cross_validate.py $(TRIALS)
	rm -rf $(@D)
	$(PY) scripts/cross_validate.py study/dataset --out $(@D) --shuffle-labels 0
	touch $@

study/cams/.done: study/cross_validation/.done $(call room,cases inference explain)
	rm -rf $(@D)
	$(bundle_run) inferring --config_file bundle/configs/inference.json --dataset_dir study/dataset --folds "[0]" \
	  --model_path study/cross_validation/fold_0/models/model.pt --output_dir $(@D)
	touch $@

# Few trials and no radiomics: a comparison in little, of size, clinical facts, gradient features and both networks.
study/comparison/.done: study/dataset/.done $(COMPARISON)
	rm -rf $(@D)
	$(PY) scripts/compare.py study/dataset --out $(@D) --trials 5 --methods size clinical gradient cnn improved
	touch $@

# The maps' scores, the niches that were planted among them.
study/explanations/.done: study/cross_validation/.done study/shuffled/.done scripts/score_explanations.py \
  $(call room,evaluation/explanations explain)
	rm -rf $(@D)
	$(PY) scripts/score_explanations.py study/dataset --run study/cross_validation --shuffled study/shuffled \
	  --truth study/cohort/truth --out $(@D)
	touch $@

study/figures/.done: study/cross_validation/.done study/shuffled/.done study/cams/.done study/comparison/.done \
  study/explanations/.done $(REPORT)
	rm -rf study/report.html study/report.json study/figures study/tables
	$(PY) scripts/report.py --dataset study/dataset --run study/cross_validation study/shuffled --cams study/cams \
	  --comparison study/comparison --explanations study/explanations --out study
	touch $@

clean:
	rm -rf demo study .venv .pytest_cache .mypy_cache .ruff_cache

# A PACS with synthetic patients, the MONAI Label app and OHIF, on this machine only, until Ctrl-C. SERVE: more options.
serve: install
	@exec $(PY) scripts/serve.py $(SERVE)
