"""Scoring: what a process knows of articles and counts, one model as a whole, and the ranking.

`rank` reads one `Served` object; a swap is the assignment of that one reference, so no answer
can mix two versions. Nothing here knows how a model is trained.
"""

from streamrec.scoring.ask import Ask, Ranked
from streamrec.scoring.scorer import Scorer
from streamrec.scoring.served import PRIOR, Served
from streamrec.scoring.state import ServingState
from streamrec.scoring.tuned import TunedServed, of_files

__all__ = ["PRIOR", "Ask", "Ranked", "Scorer", "Served", "ServingState", "TunedServed", "of_files"]
