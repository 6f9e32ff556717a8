"""What readers get is a running average of the learner's weights: increments may learn fast, and what is
published wavers less and forgets less than the learner does (Polyak & Juditsky 1992; in continual learning
the stable model beside a plastic one: CLS-ER, Arani et al. 2022).

The learner's own weights go with the optimizer's state, which is theirs: whoever goes on from a version, or
rolls back to it, has both.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from streamrec.learning.optimizer import State
from streamrec.model.network import Recommender

OWN = "/own"  # what the learner's weight of a parameter is called
ALONE = 0.3  # of the rates of increments, for those that learn an encoder too: that is not averaged


def with_own(state: State, net: Recommender) -> State:
    """An optimizer's state, and the learner's own weights beside it."""
    return state | {name + OWN: p.detach().clone() for name, p in net.named_parameters()}


def apart(state: State) -> tuple[State, State]:
    """The optimizer's state alone, and the learner's weights by parameter; {} if there are none."""
    own = {name.removesuffix(OWN): p for name, p in state.items() if name.endswith(OWN)}
    return {name: p for name, p in state.items() if not name.endswith(OWN)}, own


@torch.no_grad()
def go_on(net: Recommender, own: Mapping[str, Tensor]) -> None:
    """Give a copy of the version published the learner's own weights, as far as they fit."""
    for name, p in net.named_parameters():
        if name in own and own[name].shape == p.shape:
            p.copy_(own[name])


@torch.no_grad()
def average(net: Recommender, parent: Recommender, share: float) -> None:
    """Make of a net that has learned what is to be published: `share` of the parent, the rest of its own."""
    for p, before in zip(net.parameters(), parent.parameters(), strict=True):
        p.lerp_(before, share)
