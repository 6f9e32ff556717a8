"""The site that docs/serving.md talks to: eleven articles, the real encoder, the untrained prior."""

import json
from functools import lru_cache
from typing import Any

from web_site import WebSite

from consumers.dead_letters import DeadLetters, dead_letter_topic
from consumers.scorer import ScoringWorker
from streamrec.adapters.memory import MemoryBoard
from streamrec.broker import Partition, TopicSpec
from streamrec.catalogue import Entry
from streamrec.config import Encoder, Scorer
from streamrec.events import Feedback, Rule, decode
from streamrec.model.encoder import TextEncoder, article_text

ARTICLES = (  # id, title, body, tags, language, source, hours old
    ("kafka-1", "Exactly once with Apache Kafka", "Idempotent producers and transactions in a message log.",
     ["kafka", "streams"], "en", "our blog", 50),
    ("kafka-2", "Tuning Kafka consumers", "Poll intervals, batches and rebalances of a consumer group.",
     ["kafka", "streams"], "en", "our blog", 20),
    ("flink-1", "Stateful stream processing in Flink", "Windows, watermarks and checkpoints over event logs.",
     ["flink", "streams"], "en", "guests", 30),
    ("redis-1", "Lua scripts in Redis", "Atomic updates of several keys in an in-memory database.",
     ["redis"], "en", "our blog", 40),
    ("torch-1", "Fine-tuning transformers with LoRA", "Low-rank adapters for large language models.",
     ["ml"], "en", "guests", 25),
    ("torch-2", "Fine tuning transformers with LoRA", "Low-rank adapters for large language models.",
     ["ml"], "en", "mirror", 24),
    ("ml-1", "What a recommender forgets", "Catastrophic forgetting and rehearsal in continual learning.",
     ["ml"], "en", "our blog", 10),
    ("bread-1", "Sourdough at home", "Flour, water, salt and patience: baking bread in your own oven.",
     ["food"], "en", "kitchen", 60),
    ("bread-2", "Backen ohne Hefe", "Brot und Brötchen aus Sauerteig.", ["food"], "de", "kitchen", 5),
    ("ad-1", "Our cloud, now cheaper", "Hosted Kafka and Redis at half the price.", ["kafka", "sponsored"],
     "en", "partner", 1),
    ("sport-1", "The derby in numbers", "Shots, passes and a late goal.", ["sport"], "en", "guests", 3),
)


@lru_cache(1)
def encoder() -> TextEncoder:
    return TextEncoder(Encoder(max_tokens=48))


def encode(text: str, domain: str) -> Any:
    return text, encoder().encode([text])[0]


class DocsSite(WebSite):
    """See module. What is published over HTTP is handled as the consumers would, without Kafka; web and the
    scoring worker are two processes, which hold nothing in common."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = encoder().dim
        self.rebuild(self.dim, encode)
        now = self.clock.now()
        texts = {i: article_text(title, body) for i, title, body, *_ in ARTICLES}
        entries = [Entry(i, title, now - 3600 * age, tags, lang, i, source)
                   for i, title, _, tags, lang, source, age in ARTICLES]
        self.catalogue.put(entries, texts)
        owed = self.catalogue.owed(99)
        self.catalogue.fill(list(zip(owed, encoder().encode([o.text for o in owed]), strict=True)))
        self.read("u42", "kafka-1")
        asked, publisher = "w.requests.v1", self.broker.publisher()
        self.broker.create_topics([TopicSpec(t, 1, 1, {}) for t in (asked, dead_letter_topic(asked))])
        serving, dead = self.another(self.dim, encode), DeadLetters(publisher, "w")
        self.worker = ScoringWorker(serving, publisher, dead, MemoryBoard(), self.clock, Scorer(),
                                    "w.recommendations.v1")

    def on_topic(self, topic: str, value: bytes, waited_s: float) -> Any:
        """What answers a message on a topic that waited so long until the worker took it up."""
        if ".rules." in topic:
            rule = decode(Rule, value, self.clock.now())
            return self.rules.change([rule], [])
        self.broker.publisher().send("w.requests.v1", b"u42", value)
        record = self.sent("requests")[-1]
        late = record._replace(timestamp=round(1000 * (self.clock.now() - waited_s)))
        self.worker.handle([(Partition("w.requests.v1", 0), [late])])
        return json.loads(self.sent("recommendations")[-1].value)

    def handled(self) -> None:
        """What lies on the topics has reached the buffer and the catalogue."""
        for record in self.sent("feedback")[self.taken :]:
            event: Any = decode(Feedback, record.value, self.clock.now())
            self.read(event.user_id, event.item_id)
            self.taken += 1
        self.catalogue.remove([r.key.decode() for r in self.sent("articles") if r.value is None])
