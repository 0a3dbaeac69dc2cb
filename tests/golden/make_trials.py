"""Make up ``trials.csv``: predictions of the toy data set's lesions in five splits, with true and with shuffled labels.

No model has made them. The logit is the method's skill on the side of the label, more of it on training lesions, and a
sine. Run it from the root of the checkout: ``PYTHONPATH=tests python tests/golden/make_trials.py``.
"""

import math
import tempfile
from pathlib import Path

import pandas as pd
from toy_dataset import doubt_lesions, write_toy_dataset
from treatment_response.cohort.dataset import read_dataset
from treatment_response.evaluation.comparison.splits import make_splits, read_lesions, read_unlabelled, shuffled

SKILLS = {"size": 0.3, "gradient": 0.8, "cnn": 1.2}
TRIALS = 5
COLUMNS = ["set", "method", "model", "role", "session", "subject", "lesion", "label", "p_response"]

with tempfile.TemporaryDirectory() as folder:
    dataset = write_toy_dataset(Path(folder), patients=6)
    doubt_lesions(dataset, [("sub-006", "L02")])
    lesions, unlabelled = read_lesions(dataset), read_unlabelled(read_dataset(dataset))
dealt = shuffled(lesions, 0)
sets = {
    "trials": (lesions, make_splits(lesions, TRIALS, "B", 0, unlabelled)),
    "shuffle_000": (dealt, make_splits(dealt, TRIALS, "B", 0)),
}
rows = []
for name, (table, splits) in sets.items():
    for method, skill in SKILLS.items():
        for split in splits:
            for role, (session, scored) in split.roles(table).items():
                for row in scored.itertuples():
                    side = (skill + (role == "train_mri2")) * (2 * row.label - 1)
                    p = 1 / (1 + math.exp(-side - 1.5 * math.sin(37 * len(rows))))
                    facts = (name, method, split.trial, role, session, row.subject, row.case, row.label)
                    rows.append((*facts, round(p, 4)))
pd.DataFrame(rows, columns=COLUMNS).to_csv(Path(__file__).with_name("trials.csv"), index=False)
