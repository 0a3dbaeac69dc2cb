# Two commands do all the set-up: `make demo` and `make test`. `make study` measures what the demo only shows.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
PY := .venv/bin/python
export TREATMENT_RESPONSE_DATA ?= ../shared/data

# Stamps of the study are not intermediate files.
.SECONDARY:

.PHONY: install demo study demo-rice study-rice demo-rano study-rano test lint clean serve

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
# Before a command that goes on with what it finds: a stage that was stopped has no stamp and goes on; one that was
# finished, and is older than what it was made from, is made anew.
goes_on = @test ! -e $@ || rm -rf $(@D)
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
%/cohort/.done: scripts/make_cohort.py $(call room,cohort/synthetic dicom/write dicom/write_cohort.py geometry) | .venv/installed
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
	$(goes_on)
	$(PY) scripts/cross_validate.py study/dataset --out $(@D)
	touch $@

# Networks that could learn nothing: a control of maps, and of what scoring training lesions is worth.
study/shuffled/.done: study/dataset/.done scripts/cross_validate.py $(TRIALS)
	$(goes_on)
	$(PY) scripts/cross_validate.py study/dataset --out $(@D) --shuffle-labels 0
	touch $@

study/cams/.done: study/cross_validation/.done $(call room,cases inference explain)
	rm -rf $(@D)
	$(bundle_run) inferring --config_file bundle/configs/inference.json --dataset_dir study/dataset --folds "[0]" \
	  --model_path study/cross_validation/fold_0/models/model.pt --output_dir $(@D)
	touch $@

# Few trials and no radiomics: a comparison in little, of size, clinical facts, gradient features and both networks.
study/comparison/.done: study/dataset/.done $(COMPARISON)
	$(goes_on)
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

# RICE-NET: radiation effect or recurrence, at 64³ with a quarter of the paper's network (rice_net_small.json). The number
# of epochs is the same for every network of a folder, and far below the paper's 800.
overlays_rice := rice_net.json rice_net_small.json
RICE := --overlay $(overlays_rice)
RICE_RULES := lesion_mean_dose_gy lesion_max_dose_gy lesion_v95_ml lesion_share_95 lesion_volume_ml lesion_growth \
  ventricle_distance_mm months_since_radiotherapy prescription_gy modality
RICE_TRAINING := $(CONFIGS) $(TRIALS) $(call room,networks losses transforms cases training explain)
rice_configs = "['bundle/configs/$(1).json','bundle/configs/rice_net.json','bundle/configs/rice_net_small.json']"

# What answers for new patients: the folds' networks, calibrated together; where they tell no classes apart, their mean.
rice_model = $(1)-rice/cross_validation/ensemble/model.pt
rice_members = "[$(foreach fold,0 1 2 3 4,'$(1)-rice/cross_validation/fold_$(fold)/models/model.pt',)]"

# The path from DICOM to the report in at most ten minutes. The cohort is small, and no number from it says anything.
demo-rice: demo-rice/figures/.done
	@echo
	@echo "The report: $(CURDIR)/demo-rice/report.html (synthetic data, research use only; it shows the path, not performance)"
	@echo "The occlusion maps of the test patients, on their event MR's own grid: $(CURDIR)/demo-rice/cams"
	@echo "Next: 'make study-rice' compares the networks with the rules and the dose's controls (hours)."

# Seven sets of images, the rules, the dose's controls, two more seeds, every patient held out once: README's numbers.
study-rice: study-rice/figures/.done
	@echo
	@echo "The report: $(CURDIR)/study-rice/report.html (synthetic data, research use only)"
	@echo "Next: docs/explanation/rice-net.md says what the numbers can carry."

demo-rice/cohort/.done: RICE_SIZE := --patients 24 --mixed 1 --spacing 2
study-rice/cohort/.done: RICE_SIZE := --spacing 2
demo-rice/dataset/.done: RICE_TEST := --test-patients 4
demo-rice/cross_validation/.done demo-rice/comparison/.done: RICE_EPOCHS := 10
study-rice/cross_validation/.done study-rice/comparison/.done: RICE_EPOCHS := 20

%-rice/cohort/.done: scripts/make_cohort.py $(call room,cohort/synthetic dicom/write geometry) \
  $(wildcard $(SRC)/dicom/write_*.py) | .venv/installed
	rm -rf $(@D)
	$(PY) scripts/make_cohort.py --system rice $(RICE_SIZE) --out $(@D)
	touch $@

%-rice/dataset/.done: %-rice/cohort/.done scripts/prepare_longitudinal.py $(call room,cohort dicom geometry cases longitudinal features)
	rm -rf $(@D)
	$(PY) scripts/prepare_longitudinal.py $*-rice/cohort/dicom --clinical $*-rice/cohort/clinical.csv --out $(@D) $(RICE_TEST)
	touch $@

# Every fold held out once; the five networks together answer for the patients kept apart.
%-rice/cross_validation/.done: %-rice/dataset/.done scripts/cross_validate.py $(RICE_TRAINING)
	$(goes_on)
	$(PY) scripts/cross_validate.py $*-rice/dataset --out $(@D) $(RICE) --epochs $(RICE_EPOCHS) --test
	touch $@

%-rice/cams/.done: %-rice/cross_validation/.done $(call room,inference)
	rm -rf $(@D)
	$(bundle_run) inferring --config_file $(call rice_configs,inference) --dataset_dir $*-rice/dataset --case_list test \
	  --model_path "$$(test -f $(call rice_model,$*) && echo $(call rice_model,$*) || echo $(call rice_members,$*))" \
	  --output_dir $(@D)
	touch $@

demo-rice/comparison/.done: demo-rice/dataset/.done scripts/compare.py $(RICE_TRAINING) $(call room,evaluation/comparison)
	$(goes_on)
	$(PY) scripts/compare.py demo-rice/dataset --out $(@D) $(RICE) --epochs $(RICE_EPOCHS) --folds stored --trials 5 \
	  --methods prevalence each features --features $(RICE_RULES)
	touch $@

study-rice/comparison/.done: study-rice/dataset/.done scripts/compare.py $(RICE_TRAINING) $(call room,evaluation/comparison)
	$(goes_on)
	$(PY) scripts/compare.py study-rice/dataset --out $(@D) $(RICE) --epochs $(RICE_EPOCHS) --folds stored --trials 5 \
	  --methods prevalence each features network --features $(RICE_RULES) --variants rice_net_variants.json
	touch $@

# Two more seeds of the network with all three images.
study-rice/seeds/.done: RICE_EPOCHS := 20
study-rice/seeds/.done: study-rice/comparison/.done
	$(goes_on)
	$(PY) scripts/compare.py study-rice/dataset --out $(@D) $(RICE) --epochs $(RICE_EPOCHS) --folds stored --trials 15 --methods network
	touch $@

# Where the maps of one fold's network point, on the patients that it had held out, against controls. The other measures
# compute every map some thirty times: leave --measures out for them (RICE-NET: some three minutes of a core per patient).
study-%/explanations/.done: study-%/cross_validation/.done scripts/score_explanations.py \
  $(call room,evaluation/explanations explain)
	$(goes_on)
	$(PY) scripts/score_explanations.py study-$*/dataset --run study-$*/cross_validation/fold_0 --out $(@D) \
	  --config train.json $(overlays_$*) --measures place
	touch $@

# The report of either demo.
demo-%/figures/.done: demo-%/cross_validation/.done demo-%/cams/.done demo-%/comparison/.done $(REPORT)
	rm -rf demo-$*/report.html demo-$*/report.json demo-$*/figures demo-$*/tables
	$(PY) scripts/report.py --dataset demo-$*/dataset --run demo-$*/cross_validation --cams demo-$*/cams \
	  --comparison demo-$*/comparison --out demo-$*
	touch $@

study-rice/figures/.done: study-rice/cross_validation/.done study-rice/cams/.done study-rice/comparison/.done \
  study-rice/seeds/.done study-rice/explanations/.done $(REPORT)
	rm -rf study-rice/report.html study-rice/report.json study-rice/figures study-rice/tables
	$(PY) scripts/report.py --dataset study-rice/dataset --run study-rice/cross_validation --cams study-rice/cams \
	  --comparison study-rice/comparison study-rice/seeds --explanations study-rice/explanations --out study-rice
	touch $@

# RANO: response of glioblastoma from two studies, at 48 × 56 × 48 with a small DenseNet (rano_small.json). The number of
# epochs is the same for every network of a folder.
overlays_rano := rano.json rano_small.json
RANO := --overlay $(overlays_rano)
RANO_TRAINING := $(CONFIGS) $(TRIALS) $(call room,networks losses transforms cases training explain)
rano_configs = "['bundle/configs/$(1).json','bundle/configs/rano.json','bundle/configs/rano_small.json']"

# The path from LUMIERE's own files to the report. The cohort is small, and no number from it says anything.
demo-rano: demo-rano/figures/.done
	@echo
	@echo "The report: $(CURDIR)/demo-rano/report.html (synthetic data, research use only; it shows the path, not performance)"
	@echo "The maps of held-out patients, on their current MR's own grid: $(CURDIR)/demo-rano/cams"
	@echo "Next: 'make study-rano' compares the two protocols and the rules (hours)."

# The network by our protocol and by the authors', what each of their two leaks is worth, the rules on volumes.
study-rano: study-rano/figures/.done
	@echo
	@echo "The report: $(CURDIR)/study-rano/report.html (synthetic data, research use only)"
	@echo "Next: docs/explanation/rano.md says what the numbers can carry."

demo-rano/cohort/.done: RANO_SIZE := --patients 12 --spacing 7
demo-rano/dataset/.done demo-rano/cross_validation/.done demo-rano/comparison/.done: RANO_FOLDS := 4
study-rano/dataset/.done study-rano/cross_validation/.done study-rano/comparison/.done: RANO_FOLDS := 5
demo-rano/cross_validation/.done demo-rano/comparison/.done: RANO_EPOCHS := 4
study-rano/cross_validation/.done study-rano/comparison/.done: RANO_EPOCHS := 40

%-rano/cohort/.done: scripts/make_cohort.py $(call room,cohort/synthetic geometry) | .venv/installed
	rm -rf $(@D)
	$(PY) scripts/make_cohort.py --system rano $(RANO_SIZE) --workers 2 --out $(@D)
	touch $@

%-rano/dataset/.done: %-rano/cohort/.done scripts/prepare_lumiere.py $(call room,cohort geometry cases)
	rm -rf $(@D)
	$(PY) scripts/prepare_lumiere.py $*-rano/cohort/LUMIERE --out $(@D) --folds $(RANO_FOLDS)
	touch $@

%-rano/cross_validation/.done: %-rano/dataset/.done scripts/cross_validate.py $(RANO_TRAINING)
	$(goes_on)
	$(PY) scripts/cross_validate.py $*-rano/dataset --out $(@D) $(RANO) --folds $(RANO_FOLDS) --epochs $(RANO_EPOCHS)
	touch $@

# One fold's network explains its held-out patients, on one thread: beside other work two threads wait for each other at
# each of its many small steps.
%-rano/cams/.done: %-rano/cross_validation/.done $(call room,inference)
	rm -rf $(@D)
	OMP_NUM_THREADS=1 $(bundle_run) inferring --config_file $(call rano_configs,inference) --dataset_dir $*-rano/dataset --folds "[0]" \
	  --model_path $*-rano/cross_validation/fold_0/models/model.pt --output_dir $(@D)
	touch $@

demo-rano/comparison/.done: RANO_METHODS := prevalence volume-rules volumes
study-rano/comparison/.done: RANO_METHODS := prevalence volume-rules volumes network --variants rano_protocols.json
%-rano/comparison/.done: %-rano/dataset/.done scripts/compare.py $(RANO_TRAINING) \
  $(call room,evaluation/comparison criteria)
	$(goes_on)
	$(PY) scripts/compare.py $*-rano/dataset --out $(@D) $(RANO) --epochs $(RANO_EPOCHS) --folds stored --trials $(RANO_FOLDS) \
	  --methods $(RANO_METHODS)
	touch $@

study-rano/figures/.done: study-rano/cross_validation/.done study-rano/cams/.done study-rano/comparison/.done \
  study-rano/explanations/.done $(REPORT)
	rm -rf study-rano/report.html study-rano/report.json study-rano/figures study-rano/tables
	$(PY) scripts/report.py --dataset study-rano/dataset --run study-rano/cross_validation --cams study-rano/cams \
	  --comparison study-rano/comparison --explanations study-rano/explanations --out study-rano
	touch $@

clean:
	rm -rf demo study demo-rice study-rice demo-rano study-rano .venv .pytest_cache .mypy_cache .ruff_cache

# A PACS with synthetic patients, the MONAI Label app and OHIF, on this machine only, until Ctrl-C. SERVE: more options.
serve: install
	@exec $(PY) scripts/serve.py $(SERVE)
