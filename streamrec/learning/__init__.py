"""Learning from the stream: examples, the fine-tuning loop, rehearsal, the gate, one increment."""
