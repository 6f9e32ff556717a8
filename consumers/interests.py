"""Vectors of what readers say to like, by the catalogue's own encoder (zero-shot)."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache

from streamrec import logs
from streamrec.catalogue import Vectors
from streamrec.errors import RetryLater, StreamrecError

log = logs.get(__name__)
KEPT = 4096  # vectors of the latest interests
WAIT_S = 3.0  # after the start, while it loads: other readers wait as long


class Interests:
    """See streamrec.scoring.wishes.Encode. The encoder loads in a thread; who asks in the first `wait_s`
    seconds waits for it, all others are told to come again. `prompts`: by domain ("": any other) what is put
    around the words."""

    def __init__(
        self, load: Callable[[], Callable[[list[str]], Vectors]], prompts: Mapping[str, str],
        wait_s: float = WAIT_S,
    ) -> None:
        self._load, self._prompts, self._wait_s, self._until = load, prompts, wait_s, 0.0
        self._ready, self._trouble = threading.Event(), "it is still being loaded"
        self._encode: Callable[[list[str]], Vectors] | None = None
        self._kept = lru_cache(KEPT)(self._vector)

    def start(self) -> None:
        """Begin to load."""
        self._until = time.monotonic() + self._wait_s
        threading.Thread(target=self._run, name="interests", daemon=True).start()

    def state(self) -> str:
        """loading, ready, or failed: `no_encoder_for_interests` in the log says why."""
        if not self._ready.is_set():
            return "loading"
        return "failed" if self._encode is None else "ready"

    def _run(self) -> None:
        try:
            self._encode = self._load()
        except Exception as error:  # whatever it was, who asks must be told
            kind = "" if isinstance(error, StreamrecError) else f"{type(error).__name__}: "
            self._trouble = f"{kind}{error}"
            log.error("no_encoder_for_interests", why=self._trouble)
        finally:
            self._ready.set()

    def __call__(self, interests: str, domain: str) -> tuple[str, Vectors]:
        """The words in their prompt, and their base vector [d]. Raises RetryLater without encoder."""
        prompt = self._prompts.get(domain, self._prompts.get("", "{interests}"))
        text = prompt.replace("{interests}", interests)
        return text, self._kept(text, interests)

    def _vector(self, text: str, interests: str) -> Vectors:
        """Of the whole text, unless the encoder reads none of the interests in it."""
        self._ready.wait(max(self._until - time.monotonic(), 0.0))
        if self._encode is None:
            raise RetryLater(f"no encoder for interests: {self._trouble}")
        vectors: Vectors = self._encode([text] if text == interests else [text, interests])
        found: Vectors = vectors[0] if vectors[-1].any() else vectors[-1]
        return found
