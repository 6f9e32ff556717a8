"""How the client is set up, and one sentence on why it cannot connect."""

import socket
import ssl
import struct
import time
from collections.abc import Sequence
from typing import Any

from kafka.errors import BrokerResponseError, KafkaError

from streamrec.broker import TopicSpec
from streamrec.config import Kafka
from streamrec.errors import ServerUnreachable, SetupError

OLDEST = (2, 8)  # topics have ids
WAIT_S = 0.2
ANSWER_S = 2.0
VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, 0)  # a request that needs no login: which others are there?
LINE = b"PING\r\n\r\n"  # for what waits for the end of a line, as Redis and web servers do


def client_config(s: Kafka) -> dict[str, Any]:
    config: dict[str, Any] = {
        "bootstrap_servers": s.bootstrap_servers.split(","),
        "security_protocol": s.security_protocol,
        "bootstrap_timeout_ms": int(s.bootstrap_timeout_s * 1000),
        "reconnect_backoff_max_ms": 2000,
    }
    if s.sasl_mechanism:
        config |= {
            "sasl_mechanism": s.sasl_mechanism,
            "sasl_plain_username": s.sasl_username,
            "sasl_plain_password": s.sasl_password.get_secret_value(),
        }
    if s.ssl_cafile:
        _check_cafile(s.ssl_cafile)
        config["ssl_cafile"] = s.ssl_cafile
    return config


def _check_cafile(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise SetupError(f"STREAMREC_KAFKA__SSL_CAFILE={path} is no CA file that can be read ({why}): name "
                         "the PEM file of the brokers' CA") from None


def _dial(server: str) -> socket.socket:
    """Raises ValueError if it is no host:port, OSError if nothing answers there."""
    host, _, port = server.strip().rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), 2)


def listens(s: Kafka) -> bool:
    """Whether a port of it takes connections, or will within the time that a client has to start."""
    until = time.monotonic() + s.bootstrap_timeout_s
    while True:
        for server in s.bootstrap_servers.split(","):
            try:
                _dial(server).close()
                return True
            except ValueError:
                return False
            except OSError:
                continue
        if time.monotonic() > until:
            return False
        time.sleep(WAIT_S)


def _reacts(server: str, question: bytes) -> bool:
    """Whether what listens there says anything to it, or hangs up. Raises as `_dial`."""
    with _dial(server) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.sendall(question)
            connection.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True
    return True


def why_unreachable(s: Kafka) -> SetupError:
    """Nothing answers, or it answers and does not take us as we are set up."""
    where = f"Kafka at {s.bootstrap_servers}"
    try:
        first = s.bootstrap_servers.split(",")[0]
        reacts = _reacts(first, VERSIONS) or _reacts(first, LINE)
    except ValueError:
        return SetupError(f"{s.bootstrap_servers!r} is not host:port; set STREAMREC_KAFKA__BOOTSTRAP_SERVERS")
    except OSError as error:
        return ServerUnreachable(f"{where} does not answer ({error.strerror or error}); start it, or set "
                                 "STREAMREC_KAFKA__BOOTSTRAP_SERVERS to one that runs")
    if not reacts:
        return ServerUnreachable(f"{where} takes connections but does not answer: it may be hung or starting:"
                                 " see its log, or set STREAMREC_KAFKA__BOOTSTRAP_SERVERS to one that runs")
    return SetupError(
        f"{where} takes connections but does not speak Kafka to us; check its version (>= {OLDEST[0]}."
        f"{OLDEST[1]}), STREAMREC_KAFKA__SECURITY_PROTOCOL ({s.security_protocol}) and the credentials"
    )


def why_no_topics(error: KafkaError, specs: Sequence[TopicSpec]) -> SetupError:
    """The broker's refusal, without the request that it repeats; or there was none."""
    name = type(error).__name__
    if not isinstance(error, BrokerResponseError):
        return ServerUnreachable(f"Kafka did not answer whether it made the topics ({name}); try again")
    copies = max(s.replication for s in specs)
    return SetupError(
        f"Kafka refused to create topics ({name}: {error.description}); check "
        f"STREAMREC_KAFKA__REPLICATION_FACTOR ({copies}: at most one copy a broker), "
        "STREAMREC_KAFKA__PARTITIONS and what our user may do there"
    )
