"""The only rooms that import a Kafka or a Redis client."""
