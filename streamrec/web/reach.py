"""Whether Kafka answers: a thread of its own asks now and then, as for hours nobody may have anything to
publish, and who sends us readers wants to know before."""

import threading
from collections.abc import Callable

from streamrec.clock import Clock, due
from streamrec.web.desk import FRESH_S

EVERY_S = 2.0
END_S = 1.0  # a question that hangs may not hold up the end of the process


class Reach:
    """`ask`: any question that only a Kafka that is there can answer; raises what it likes."""

    def __init__(self, ask: Callable[[], object], clock: Clock, every_s: float = EVERY_S) -> None:
        self._ask, self._clock, self._every_s = ask, clock, every_s
        self._answered_at, self._why = 0.0, "it has not been asked yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reach", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join(END_S)

    def trouble(self) -> str | None:
        """Why Kafka is not there, or None. A moment without an answer is none: a broker may restart."""
        stale = due(self._clock.now(), self._answered_at, FRESH_S)
        return f"Kafka does not answer: {self._why}" if stale else None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._once()
            self._stop.wait(self._every_s)

    def _once(self) -> None:
        try:
            self._ask()
            self._answered_at = self._clock.now()
        except Exception as error:  # whatever it was, it is asked again
            self._why = str(error) or type(error).__name__
