# Two commands do all the set-up: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
PY := .venv/bin/python
export TREATMENT_RESPONSE_DATA ?= ../shared/data

.PHONY: install demo test lint clean serve

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

# The demo's stages. Each folder's stamp, .done, is newer than what the folder was made from, or the stage is made again. The
# stamp is written last, so a stage that failed is never taken for finished.
SRC := bundle/treatment_response
room = $(shell find $(addprefix $(SRC)/,$(1)) -name '*.py' -o -name '*.html' -o -name '*.json')
TRIALS := $(addprefix $(SRC)/evaluation/,cross_validation.py trials.py metrics.py)
bundle_run = $(PY) -m monai.bundle run

demo: demo/figures/.done
	@echo
	@echo "The report: $(CURDIR)/demo/report.html (synthetic data, research use only)"
	@echo "The class activation maps: $(CURDIR)/demo/cams"

demo/cohort/.done: .venv/installed scripts/make_cohort.py $(call room,cohort/synthetic dicom/write dicom/write_cohort.py geometry)
	rm -rf demo/cohort
	$(PY) scripts/make_cohort.py --out demo/cohort
	touch $@

demo/dataset/.done: demo/cohort/.done scripts/prepare_dicom.py $(call room,cohort dicom geometry)
	rm -rf demo/dataset
	$(PY) scripts/prepare_dicom.py demo/cohort/dicom --clinical demo/cohort/clinical.csv --out demo/dataset
	touch $@

# Fold 0 through the bundle's own command line; the cross-validation then finds it finished and adds the other folds.
demo/cross_validation/fold_0/.done: demo/dataset/.done $(wildcard bundle/configs/*.json) $(call room,networks losses transforms training)
	rm -rf demo/cross_validation
	$(bundle_run) training --config_file bundle/configs/train.json \
	  --dataset_dir demo/dataset --output_dir demo/cross_validation/fold_0
	$(bundle_run) evaluating --config_file "['bundle/configs/train.json','bundle/configs/evaluate.json']" \
	  --dataset_dir demo/dataset --output_dir demo/cross_validation/fold_0
	touch $@

demo/cross_validation/.done: demo/cross_validation/fold_0/.done scripts/cross_validate.py $(TRIALS)
	$(PY) scripts/cross_validate.py demo/dataset --out demo/cross_validation
	touch $@

# Networks that could learn nothing: a control of maps, and of what scoring training lesions is worth.
demo/shuffled/.done: demo/cross_validation/fold_0/.done scripts/cross_validate.py $(TRIALS)
	rm -rf demo/shuffled
	$(PY) scripts/cross_validate.py demo/dataset --out demo/shuffled --shuffle-labels 0
	touch $@

demo/cams/.done: demo/cross_validation/fold_0/.done $(call room,inference explain)
	rm -rf demo/cams
	$(bundle_run) inferring --config_file bundle/configs/inference.json --dataset_dir demo/dataset \
	  --model_path demo/cross_validation/fold_0/models/model.pt --output_dir demo/cams
	touch $@

# Few trials and no radiomics: a comparison in little, of size, clinical facts, gradient features and both networks.
demo/comparison/.done: demo/dataset/.done scripts/compare.py $(wildcard bundle/configs/*.json) $(TRIALS) \
  $(call room,evaluation/comparison evaluation/classical features networks losses transforms training)
	rm -rf demo/comparison
	$(PY) scripts/compare.py demo/dataset --out demo/comparison --trials 5 --methods size clinical gradient cnn improved
	touch $@

# The maps' scores, the niches that were planted among them.
demo/explanations/.done: demo/cross_validation/.done demo/shuffled/.done scripts/score_explanations.py \
  $(call room,evaluation/explanations explain)
	rm -rf demo/explanations
	$(PY) scripts/score_explanations.py demo/dataset --run demo/cross_validation --shuffled demo/shuffled \
	  --truth demo/cohort/truth --out demo/explanations
	touch $@

demo/figures/.done: demo/cross_validation/.done demo/shuffled/.done demo/cams/.done demo/comparison/.done demo/explanations/.done \
  scripts/report.py $(call room,evaluation explain)
	rm -rf demo/report.html demo/report.json demo/figures demo/tables
	$(PY) scripts/report.py --dataset demo/dataset --run demo/cross_validation --cams demo/cams --comparison demo/comparison \
	  --explanations demo/explanations --shuffled demo/shuffled --out demo
	touch $@

clean:
	rm -rf demo .venv .pytest_cache .mypy_cache .ruff_cache

# A PACS with synthetic patients, the MONAI Label app and OHIF, on this machine only, until Ctrl-C. SERVE: more options.
serve: install
	@exec $(PY) scripts/serve.py $(SERVE)
