"""Benchmarks: `python -m tests.benchmarks`. Ratios measured interleaved, so a busy machine counts
less; nothing here asserts a time."""
