"""From the event loop to a thread and back: what waits in a queue, and the future of who waits for it."""

import asyncio
from collections.abc import Sequence
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


def hand_over(settled: "Sequence[tuple[asyncio.Future[T], T | Exception]]") -> None:
    """Settle futures of one event loop from another thread, all in one turn of it; nothing happens to one
    that nobody waits for any more."""
    if settled:
        with suppress(RuntimeError):  # the event loop has closed meanwhile
            settled[0][0].get_loop().call_soon_threadsafe(_settle_all, settled)


def _settle_all(settled: "Sequence[tuple[asyncio.Future[T], T | Exception]]") -> None:
    for future, found in settled:
        _settle(future, found)


def _settle(future: "asyncio.Future[T]", found: T | Exception) -> None:
    if future.done():  # its deadline has passed, or whoever asked has hung up
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)
