"""Every error streamrec raises on purpose. Each message says what to do next.

StreamrecError
├── SetupError            the machine or the settings are not ready: one sentence, exit code 2
│   ├── ServerUnreachable   no Kafka or Redis answers at the address given
│   ├── ServerRefused       it answers, but is set up in a way that would lose data
│   └── AlreadyRunning      another `streamrec up` owns this home
├── RetryLater            a server is away or full: pause, commit nothing, try again
├── InvalidMessage        one message is wrong: it goes to the dead-letter topic, the rest goes on
├── Fenced                a newer owner holds this partition or lease: stop writing at once
├── Conflict              a compare-and-set lost: read again, decide again
├── CorruptArtefact       a model file's sha256 differs from its manifest: keep the old model
│   └── OtherFeatures       the model was made by a streamrec that computed other features
└── NotFound              no such model version, reader or report
"""


class StreamrecError(Exception):
    """Base of every error raised on purpose."""


class SetupError(StreamrecError):
    """The machine or the settings are not ready; the message is one sentence with the next step."""


class ServerUnreachable(SetupError):
    """Nothing answers at the address given."""


class ServerRefused(SetupError):
    """The server answers, but is set up in a way that would lose data."""


class AlreadyRunning(SetupError):
    """Another `streamrec up` owns this home."""


class RetryLater(StreamrecError):
    """A server is away or full: pause, commit nothing, try again."""


class InvalidMessage(StreamrecError):
    """One message is wrong. It goes to the dead-letter topic; the partition goes on."""


class Fenced(StreamrecError):
    """A newer owner holds this partition or lease."""


class Conflict(StreamrecError):
    """A compare-and-set lost against another writer."""


class CorruptArtefact(StreamrecError):
    """A file of a model version differs from the sha256 in its manifest."""


class OtherFeatures(CorruptArtefact):
    """A model was made by a streamrec that computed other features: it cannot be served or gone on from."""


class NotFound(StreamrecError):
    """No such model version, reader or report."""
