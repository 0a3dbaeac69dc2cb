"""Cases as the networks take them: samples, and which of them a protocol trains on and scores."""
