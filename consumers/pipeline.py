"""Work that goes on in order behind the loop's back, until it is settled."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from streamrec.errors import RetryLater

T = TypeVar("T")


class Pipeline(Generic[T]):
    """Runs `action` on one item after the other, on a thread of its own: while it waits for a
    server, its owner polls and decodes.

    An item is owed until its action has returned. When one fails, those behind it are not tried
    before it is: the next call raises its error, and after a RetryLater the one after that
    begins with it again. After any other error all that was owed is dropped.
    """

    def __init__(self, action: Callable[[T], None], depth: int) -> None:
        self._action, self._depth = action, depth
        self._thread = ThreadPoolExecutor(1, "pipeline")
        self._owed: deque[T] = deque()
        self._jobs: deque[Future[None]] = deque()  # of the first items owed, in order
        self._broken = False

    def put(self, item: T) -> None:
        """Owe one more; waits while `depth` are owed. If it raises, this item was not taken."""
        self._until(self._depth - 1)
        self._owed.append(item)
        self._jobs.append(self._thread.submit(self._run, item))

    def settle(self) -> None:
        """Wait until nothing is owed. Raises RetryLater, or whatever else the action raises."""
        self._until(0)

    def _until(self, left: int) -> None:
        if not self._jobs:  # the last call raised
            self._jobs.extend(self._thread.submit(self._run, item) for item in self._owed)
        try:
            while len(self._owed) > left:
                self._jobs[0].result()
                self._jobs.popleft()
                self._owed.popleft()
        except Exception as error:
            wait(self._jobs)  # those behind return at once
            self._jobs.clear()
            self._broken = False
            if not isinstance(error, RetryLater):
                self._owed.clear()
            raise

    def _run(self, item: T) -> None:
        if self._broken:
            return
        try:
            self._action(item)
        except BaseException:
            self._broken = True
            raise
