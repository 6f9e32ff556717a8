"""The recommender: article encoder, counters, features, network, and its files."""
