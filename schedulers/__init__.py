"""Clock-driven processes: one file each."""
