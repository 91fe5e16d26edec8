"""Measurements: ratios to peers in the same run, and what the parts cost. ``python -m benchmarks --help``."""
