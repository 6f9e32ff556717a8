"""A package, so that these tests come before any other `tests` that a dependency installs."""
