"""From a prepared data set, or one MR and one mask, to probabilities and maps on the MR's own grid."""
