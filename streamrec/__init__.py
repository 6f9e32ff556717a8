"""streamrec: a continual-learning streaming recommender for text."""

__version__ = "0.1.0"
