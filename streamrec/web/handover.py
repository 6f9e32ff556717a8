"""From the event loop to a thread and back: what waits in a queue, and the future of who waits for it."""

import asyncio
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def take(queue: "SimpleQueue[T]", timeout_s: float, most: int) -> list[T]:
    """All that waits, up to `most`; none after a while without any."""
    try:
        batch = [queue.get(timeout=timeout_s)]
    except Empty:
        return []
    while len(batch) < most and not queue.empty():
        batch.append(queue.get())
    return batch


def hand_over(future: "asyncio.Future[T]", found: T | Exception) -> None:
    """Settle a future from another thread; nothing happens if nobody waits any more."""
    with suppress(RuntimeError):  # the event loop has closed meanwhile
        future.get_loop().call_soon_threadsafe(_settle, future, found)


def _settle(future: "asyncio.Future[T]", found: T | Exception) -> None:
    if future.done():  # its deadline has passed, or whoever asked has hung up
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)
