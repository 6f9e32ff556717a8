"""Each process's metrics, on a port of its own."""

from streamrec.config import Settings
from streamrec.errors import SetupError

PROCESSES = ("collect", "catalogue", "score", "train", "monitor", "web")


def serve_metrics(settings: Settings, n: int) -> None:
    """Raises SetupError if the address cannot be had."""
    if not settings.metrics_port:
        return
    from prometheus_client import start_http_server
    port = settings.metrics_port + n
    try:
        start_http_server(port, settings.metrics_host)
    except (OSError, UnicodeError) as error:  # UnicodeError: what no name of a machine can be
        raise SetupError(
            f"no metrics on {settings.metrics_host}:{port} ({error}): set STREAMREC_METRICS_PORT and "
            "STREAMREC_METRICS_HOST to what is free and ours, or the port to 0 for none"
        ) from None
