"""Research on synthetic lesions: ablation, learning curve, the cohort's audit and its ceilings."""
