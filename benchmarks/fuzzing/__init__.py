"""Parts of ``benchmarks/fuzz_ingest.py``: a clean cohort, damage to its files, and what each damage leaves valid."""
