"""The synthetic site behind `streamrec demo`: pure, seeded, and with time as an argument.

`words` is its vocabulary, `clicks` how a reader reacts to a slate, and `world` its articles and
readers.
"""
