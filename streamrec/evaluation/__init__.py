"""Prequential evaluation: test-then-train over a real log, with the code that runs in production."""
