"""Where tests find what is fetched once for all of them."""

import os
from pathlib import Path

HOME = Path(os.environ.get("STREAMREC_HOME", "~/.local/share/streamrec")).expanduser()
JARS = HOME / "jars"  # Kafka's, checked against the lock at each use
