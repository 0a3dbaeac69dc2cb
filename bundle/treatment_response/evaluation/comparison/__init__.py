"""Several methods on the same patient-grouped splits: trials, intervals, paired differences, tables."""
