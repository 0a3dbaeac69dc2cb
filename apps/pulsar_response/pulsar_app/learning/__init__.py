"""Jobs on all studies: training on saved labels, the next sample, batch inference."""
