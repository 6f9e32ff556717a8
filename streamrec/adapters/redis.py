"""The connection to Redis: safety checks, errors turned into ours, scripts by hash.

With `redis_buffer.py` and `redis_store.py` the only modules that import the client.
"""

import re
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry

from streamrec.config import Redis
from streamrec.errors import (
    Conflict,
    Fenced,
    RetryLater,
    ServerRefused,
    ServerUnreachable,
    SetupError,
)

T = TypeVar("T")
OLDEST = (6, 2)  # ZMSCORE and SMISMEMBER
PASSING = (  # refusals that end by themselves, or when somebody makes room
    "OOM", "LOADING", "MISCONF", "CLUSTERDOWN", "READONLY", "BUSY", "MASTERDOWN", "NOREPLICAS",
    "TRYAGAIN",
)


def connect(settings: Redis) -> "Connection":
    """Connect and check that the server keeps what it acknowledges.

    Raises ServerUnreachable if nothing answers, ServerRefused for one too old, without AOF or with eviction,
    SetupError if the settings are wrong.
    """
    url = settings.url.get_secret_value()
    if not url:
        raise ServerUnreachable(
            "no Redis is known: run `streamrec up` in this home, or set STREAMREC_REDIS__URL"
        )
    shown = _without_secrets(url)
    try:
        _refuse_unescaped(url)
        client = _client(settings, url)
        _refuse_unfit(client, settings, shown)
    except (ValueError, TypeError):  # whose text would repeat a part of the URL
        raise SetupError(
            f"STREAMREC_REDIS__URL={shown} is no redis:// URL: write redis://USER:PASSWORD@HOST:PORT/0, with "
            "user and password percent-encoded"
        ) from None
    except (RedisError, RedisClusterException) as error:
        raise _why_not(error, shown) from None
    return Connection(client, settings.cluster)


def _without_secrets(url: str) -> str:
    """The URL without what may be secret: all before the last @, and its options."""
    scheme = "".join(re.findall(r"^\w+://", url))
    before, at, after = url.removeprefix(scheme).rpartition("@")
    if "password=" in url.lower():
        return f"{scheme}***"
    return f"{scheme}{'***' if before else ''}{at}{after}"


def _refuse_unescaped(url: str) -> None:
    """Raises ValueError where an @ stands behind the address. What is before it is a password that holds a /,
    ? or #: a part of it would be taken for the server's name, and told."""
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss") and "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("an @ behind the address")


def _why_not(error: Exception, shown: str) -> SetupError:
    """Nothing answers, or it answers and does not take us as we are set up."""
    cause = (isinstance(error, RedisClusterException) and error.__cause__) or error
    if isinstance(cause, AuthenticationError):
        return SetupError(f"Redis at {shown} refused the password ({cause}): set it in STREAMREC_REDIS__URL")
    if isinstance(cause, ConnectionError | TimeoutError):
        return ServerUnreachable(
            f"Redis at {shown} does not answer ({cause}); start it, or set STREAMREC_REDIS__URL"
        )
    return SetupError(
        f"Redis at {shown} answers, but not to us ({cause}): set STREAMREC_REDIS__URL and "
        "STREAMREC_REDIS__CLUSTER as it is"
    )


def _client(settings: Redis, url: str) -> Any:
    """A client that answers. It retries nothing: a retried write could apply twice, and pausing
    is our job."""
    client = (redis.RedisCluster if settings.cluster else redis.Redis).from_url(
        url, socket_timeout=settings.timeout_s, socket_connect_timeout=settings.timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    client.ping()
    return client


def _refuse_unfit(client: Any, settings: Redis, shown: str) -> None:
    version = str(client.info("server").get("redis_version", "0"))
    if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise ServerRefused(f"Redis at {shown} is version {version}: streamrec needs 6.2 or later")
    if not settings.cluster and client.info("cluster").get("cluster_enabled"):
        raise ServerRefused(f"Redis at {shown} is a node of a cluster: set STREAMREC_REDIS__CLUSTER=true")
    if not settings.allow_unsafe:
        _refuse_unsafe(client, shown)


def _refuse_unsafe(client: Any, shown: str) -> None:
    try:
        found = client.config_get("appendonly", "maxmemory-policy")
    except ResponseError:  # a managed server that hides CONFIG: its owner has decided
        return
    wrong = {k: v for k, v in {"appendonly": "yes", "maxmemory-policy": "noeviction"}.items()
             if found.get(k) != v}
    if wrong:
        want = ", ".join(f"{k} {v}" for k, v in wrong.items())
        raise ServerRefused(
            f"Redis at {shown} could lose what it acknowledged: set {want} there, "
            "or STREAMREC_REDIS__ALLOW_UNSAFE=true here"
        )


class Connection:
    """A client whose errors are ours, and which runs the scripts of `lua/`."""

    def __init__(self, client: Any, cluster: bool) -> None:
        self.client, self.cluster = client, cluster
        self._scripts: dict[str, Any] = {}

    def script(self, name: str, key: str, *args: Any) -> Any:
        """Run `lua/NAME.lua` on the one key prefix. Raises Fenced, Conflict, RetryLater."""
        script = self._script(name)
        return self.call(lambda c: script(keys=[key], args=args, client=c))

    def script_each(self, name: str, keys: Iterable[str], *args: Any) -> list[Any]:
        """Run it on each of some key prefixes, with the same arguments: in one round trip, but on a cluster,
        whose pipelines run no scripts."""
        if self.cluster:
            return [self.script(name, key, *args) for key in keys]
        text = self._script(name).script
        return self.pipeline(("eval", text, 1, key, *args) for key in keys)

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            text = files("streamrec.adapters").joinpath(f"lua/{name}.lua").read_text()
            self._scripts[name] = self.client.register_script(text)
        return self._scripts[name]

    def call(self, run: Callable[[Any], T]) -> T:
        """Run a command; a server that is away or full is RetryLater."""
        try:
            return run(self.client)
        except (
            ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError,
            RedisClusterException, ClusterError,  # no node answers, or none knows where a slot is
        ) as error:
            raise RetryLater(f"Redis: {error}") from error
        except ResponseError as error:
            raise _ours(error) from error

    def pipeline(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Several reads in one round trip (one a node on a cluster)."""
        def run(client: Any) -> list[Any]:
            pipe = client.pipeline(transaction=False)
            for command in commands:
                getattr(pipe, command[0])(*command[1:])
            return list(pipe.execute())
        return self.call(run)

    def close(self) -> None:
        """Let go of the connection."""
        self.client.close()


def _ours(error: ResponseError) -> Exception:
    text = str(error)
    if "FENCED" in text:
        return Fenced(text.partition("FENCED ")[2] or text)
    if "CONFLICT" in text:
        return Conflict(text.partition("CONFLICT ")[2] or text)
    if any(word in text for word in PASSING):
        return RetryLater(f"Redis: {text}")
    return ServerRefused(f"Redis refused a command: {text}")
