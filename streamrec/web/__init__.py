"""The HTTP side: the same wishes, answers and messages as on the topics."""
