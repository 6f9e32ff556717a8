"""A tiny world for arms: a real state over the memory adapters, told of everything an arm is told."""

import numpy as np

from streamrec.adapters.memory import MemoryBuffer, MemoryCatalogue
from streamrec.catalogue import Entry
from streamrec.config import Buffer
from streamrec.evaluation.arm import Moment
from streamrec.events import Article, Feedback
from streamrec.replay import Applied, digest
from streamrec.scoring import ServingState

DIM, START = 4, 1_700_000_000.0
HOUR, DAY = 3600.0, 86_400.0


class TinySite:
    """Times are seconds after START."""

    def __init__(self, *arms):
        self.arms = arms
        self.buffer, self.catalogue = MemoryBuffer(Buffer()), MemoryCatalogue(DIM)
        self.state = ServingState(self.buffer, self.catalogue, Buffer(), DIM)
        self.claim, self.events, self.cursor = self.buffer.claim(0, "t", 1), 0, {}

    def announce(self, item, at=0.0, title="", tags=(), vector=None):
        texts = {} if vector is None else {item: "text"}
        entry = Entry(item, title, START + at, list(tags), "", f"{item} {title} {vector}")
        self.catalogue.put([entry], texts)
        if vector is not None:
            self.catalogue.fill([(self.catalogue.owed(1)[0], np.array(vector, np.float16))])
        for arm in self.arms:
            arm.announce(Article(item_id=item, title=title, published_at=START + at, tags=list(tags)))

    def event(self, user, item, at, kind="click"):
        name, ts = f"e{self.events}", START + at
        self.events += 1
        slate = [item] if kind == "impression" else []
        applied = Applied(self.events, digest(name), name, user, item, kind, ts, slate, 1.0, -0.5)
        self.buffer.apply(0, self.claim, "t", [applied], self.events + 1, ts)
        told = Feedback(
            event_id=name, user_id=user, event_type=kind, timestamp=ts, impression=slate,
            item_id=None if kind == "impression" else item,
        )
        for arm in self.arms:
            arm.observe(told)

    def moment(self, user, at):
        self.state.sync()
        history, articles = self.buffer.histories([user])[user], self.state.articles
        eligible = articles.live & (articles.published <= START + at)
        eligible[[articles.index[r.item] for r in history]] = False
        return Moment(user, START + at, history, self.state, eligible)

    def learn(self):
        rows = self.buffer.window(self.cursor, 10**6)
        self.cursor = {r.partition: r.ordinal for r in rows} or self.cursor
        return [arm.learn([r.row for r in rows]) for arm in self.arms]

    def order(self, arm, user="somebody", at=HOUR):
        """Eligible articles, best first."""
        moment = self.moment(user, at)
        scores = arm.scores(moment)
        assert scores.dtype == np.float32 and scores.shape == (len(self.state.articles),)
        assert not np.isnan(scores).any()
        names = [e.item_id for e in self.state.articles.entries]
        return [names[i] for i in np.argsort(-scores, kind="stable") if moment.eligible[i]]

    def score(self, arm, item, user="somebody", at=HOUR):
        scores = arm.scores(self.moment(user, at))
        return float(scores[self.state.articles.index[item]])
