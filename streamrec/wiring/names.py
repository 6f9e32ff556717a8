"""What topics and consumer groups are called, and how topics are made."""

from dataclasses import dataclass

from streamrec import events
from streamrec.broker import TopicSpec
from streamrec.config import Settings

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Names:
    """Topics and groups under one prefix."""

    prefix: str

    def topic(self, name: str) -> str:
        """`streamrec.feedback.v1` for `feedback`."""
        return events.topic(self.prefix, name)

    def group(self, process: str) -> str:
        """`streamrec-collect` for `collect`."""
        return f"{self.prefix}-{process}"

    def groups(self) -> dict[str, list[str]]:
        """What each group reads: lag is measured on these."""
        reads = {"collect": ["feedback"], "catalogue": ["articles", "rules"], "score": ["requests"]}
        return {self.group(p): [self.topic(t) for t in topics] for p, topics in reads.items()}

    def with_dead_letters(self) -> list[str]:
        """Topics whose messages can be dead letters."""
        return [self.topic(t) for t in ("articles", "feedback", "requests", "rules")]


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Every topic with its partitions, retention and compaction."""
    k, names = settings.kafka, Names(settings.kafka.topic_prefix)
    big = {"max.message.bytes": "8000000"}  # too large for us must reach us to become a dead letter
    compact = {"cleanup.policy": "compact"} | big
    kept = {"retention.ms": str(k.retention_hours * 3_600_000)} | big
    dead = {"retention.ms": str(30 * DAY_MS), "max.message.bytes": "9000000"}  # headers come on top
    plan = {
        "articles": (k.partitions, compact), "feedback": (k.partitions, kept),
        "requests": (k.partitions, kept), "recommendations": (k.partitions, kept),
        "models": (1, compact), "rules": (1, compact), "drift-reports": (1, kept),
    }
    specs = [
        TopicSpec(names.topic(n), parts, k.replication_factor, configs)
        for n, (parts, configs) in plan.items()
    ]
    return specs + [
        TopicSpec(f"{t}.dlq", 1, k.replication_factor, dead) for t in names.with_dead_letters()
    ]
