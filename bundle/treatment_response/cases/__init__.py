"""Lesions as the networks take them: samples in memory, and which of them a protocol trains on and scores."""
