"""The page on PULSAR's lesions: its sections, its tables and its words."""
