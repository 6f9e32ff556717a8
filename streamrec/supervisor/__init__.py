"""Everything on this machine under one parent."""

from streamrec.supervisor.child import Child
from streamrec.supervisor.supervisor import Supervisor

__all__ = ["Child", "Supervisor"]
