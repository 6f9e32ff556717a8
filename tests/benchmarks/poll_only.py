"""`python -m tests.benchmarks.poll_only N`: poll the feedback topic with the collector's client
and interpreter settings, do nothing, commit once; print records a second, from the first poll that
brought some."""

import gc
import sys
import time

from streamrec import config, wiring
from streamrec.broker import Partition

MAX_RECORDS = 2000  # as wiring.run_collect polls


def main(n: int) -> float:
    parts = wiring.Parts(config.load())
    subscription = parts.broker.subscribe(
        [parts.names.topic("feedback")], parts.names.group("poll-only"), "earliest"
    )
    gc.freeze()  # as wiring.run_collect does
    gc.set_threshold(50_000, 20, 20)
    seen, first, began, ends = 0, 0, 0.0, dict[Partition, int]()
    while seen < n:
        batches = subscription.poll(0.05, MAX_RECORDS)
        for partition, records in batches.items():
            seen += len(records)
            ends[partition] = records[-1].offset + 1
        if seen and not began:
            first, began = seen, time.perf_counter()
    took = time.perf_counter() - began
    subscription.commit(ends)
    subscription.close()
    return (seen - first) / took


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
