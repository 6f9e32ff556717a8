"""Apache Kafka through kafka-python: the only package that imports it (with `embedded/kafka.py`,
which asks a broker it has started whether it is ready).

Every error of the client becomes RetryLater, Fenced or SetupError (ServerUnreachable where nothing answers);
the client's own messages do not name a cause, so a failed connection is probed.
"""

from streamrec.adapters.kafka.broker import KafkaBroker
from streamrec.adapters.kafka.connecting import OLDEST

__all__ = ["OLDEST", "KafkaBroker"]
