"""Drift: detectors over the feedback stream, the joins that feed them, and the report."""
