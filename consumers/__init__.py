"""Kafka-driven processes: one file each, all on loop.py."""
