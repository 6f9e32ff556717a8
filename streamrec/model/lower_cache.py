"""A bounded cache of what does not change while the encoder learns: the frozen layers' output."""

import hashlib
from collections import OrderedDict

from torch import Tensor


def key_of(text: str) -> bytes:
    """The text's hash: an article that is edited is another text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class LowerCache:
    """Text hash -> tensor on the CPU; what was used longest ago leaves first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Tensor | None:
        """The tensor, now the most recently used; None: not here."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, value: Tensor, evict: bool = True) -> None:
        """Keep it. Without `evict` only if there is room: one pass over a catalogue larger than
        the cache would otherwise push out everything just before it is needed again."""
        size = value.nbytes
        if key in self._kept or size > self.max_bytes:
            return
        if self.bytes + size > self.max_bytes and not evict:
            return
        while self.bytes + size > self.max_bytes:
            self.bytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept[key] = value
        self.bytes += size
