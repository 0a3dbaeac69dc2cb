"""PULSAR's answer: one lesion, from the slices that cross it, with its cells' maps and warnings."""
