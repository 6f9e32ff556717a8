"""All settings, frozen; the only reader of the environment.

`STREAMREC_KAFKA__BOOTSTRAP_SERVERS` sets `kafka.bootstrap_servers`; the environment wins over
`/run/secrets`, which wins over `streamrec.toml` in the working folder, which wins over defaults.
"""

import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from streamrec.errors import SetupError

WEEK = 7 * 86_400.0
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Settings of one part. None of them may be infinite or not a number: Redis and models would keep it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Kafka(Section):
    bootstrap_servers: str = Field("", description="host:port,…; empty: `up` starts its own broker")
    topic_prefix: str = Field(
        "streamrec", pattern=r"^[A-Za-z0-9._-]+$", max_length=200,  # a topic's name is 249 long at most
        description="first word of every topic and Redis key",
    )
    jars_mirror: str = Field("", description="Maven repository for `up`'s own broker; empty: the usual")
    partitions: int = Field(4, ge=1, description="partitions of a topic made by `topics create`")
    replication_factor: int = Field(1, ge=1, description="copies of each partition")
    retention_hours: int = Field(
        168, ge=1, description="how long topics that are not compacted keep; dead letters: 30 days")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
    )
    sasl_mechanism: str = Field("", description="SCRAM-SHA-512, PLAIN, …")
    sasl_username: str = Field("", description="user of the SASL mechanism")
    sasl_password: SecretStr = Field(SecretStr(""), description="password of the SASL mechanism")
    ssl_cafile: str = Field("", description="CA file of the brokers")
    bootstrap_timeout_s: float = Field(5.0, gt=0, description="give up connecting after this")
    session_timeout_s: float = Field(10.0, gt=0, description="a silent consumer is dead after this")


class Redis(Section):
    url: SecretStr = Field(SecretStr(""), description="redis://…; empty: `up` starts its own server")
    cluster: bool = Field(False, description="the URL is a node of a Redis Cluster")
    allow_unsafe: bool = Field(False, description="accept a server without AOF or with eviction")
    timeout_s: float = Field(5.0, gt=0, description="give up on one call after this")


class Buffer(Section):
    history: int = Field(50, ge=1, le=900, description="a reader's newest articles kept")
    row_history: int = Field(20, ge=1, description="of these, how many a training row keeps")
    seen_max: int = Field(200_000, ge=1, description="event ids remembered per partition, at least half")
    seen_age_s: float = Field(WEEK, gt=0, description="how long an event id is remembered, at least half")
    window_rows: int = Field(50_000, ge=1, description="untrained rows kept per partition")
    reservoir_bytes: int = Field(8_000_000, ge=1, description="rehearsal rows kept per partition")
    user_cap: int = Field(50, ge=1, description="rehearsal rows of one reader per partition")
    item_cap: int = Field(200, ge=1, description="rehearsal rows of one article per partition")
    weights: dict[str, float] = Field(
        {"click": 1.0, "read": 1.0, "like": 1.0},
        description="weight of each kind in the rehearsal reservoir; equal weights: uniform",
    )
    half_lives_s: tuple[Positive, Positive, Positive] = Field(
        (3600.0, 6 * 3600.0, 3 * 86_400.0), description="popularity counters fade by half in these"
    )
    co_half_life_s: float = Field(2 * WEEK, ge=WEEK, description="co-reads fade by half in this")
    co_keep: int = Field(64, ge=1, description="of each article, what was most read after it is kept: at "
                         "least so many, at most twice, by partition")
    near_keep: int = Field(128, ge=1, description="the same of what its readers read before or after, over "
                           "all partitions")

    @field_validator("weights")
    @classmethod
    def _of_kinds_with_rows(cls, weights: dict[str, float]) -> dict[str, float]:
        known = [*cls.model_fields["weights"].default]
        for kind, weight in weights.items():
            if kind not in known:
                raise ValueError(f"{kind!r} is no kind with rows: {', '.join(known)} are")
            if weight <= 0:  # a row's key is divided by it
                raise ValueError(f"the weight of {kind} must be greater than 0")
        return weights


class Encoder(Section):
    name: str = Field("minilm", description="minilm (English, in the wheel), a folder, or a "
                      "hub name; of other languages name one that reads them")
    max_tokens: int = Field(96, ge=8, description="an article's text is cut after this")
    batch: int = Field(32, ge=1, description="articles encoded at once")
    cache_mb: int = Field(256, ge=0, description="output of frozen layers kept while an encoder learns")


class Model(Section):
    history: int = Field(20, ge=1, description="reads the reader encoder attends to")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout on the article head")
    train: str = Field(
        "auto", pattern=r"^(auto|head|top:\d+|lora|adalora|ia3|prefix|full)$",
        description="what learns beside head and features: head (nothing), top:K layers of the encoder, "
        "lora, adalora, ia3, prefix, full; auto: lora on a GPU, head on a CPU",
    )


class Trainer(Section):
    min_rows: int = Field(200, ge=1, description="never train on fewer new rows")
    trigger_rows: int = Field(2000, ge=1, description="train when this many rows are new")
    trigger_s: float = Field(300.0, gt=0, description="or after this, with at least min_rows")
    drift_every_s: float = Field(900.0, gt=0, description="a drift alarm asks for an update so often at most")
    drift_per_day: int = Field(12, ge=0, description="and so many times a day; 0: never")
    drift_scale: float = Field(1.0, gt=0, description="updates for drift multiply each rate by this, too")
    drift_rehearsal: Literal["", "uniform", "recent", "strata", "loss"] = Field(
        "", description="how they draw rehearsal rows, see rehearsal; empty: as all others"
    )
    max_rows: int = Field(20_000, ge=1, description="new rows of one increment at most")
    max_steps: int = Field(400, ge=1, description="steps of one increment at most")
    batch: int = Field(64, ge=2, description="rows of one step, rehearsal included")
    passes: int = Field(1, ge=1, description="passes over the new rows at most, more over "
                        "few: several asked for end as soon as the rows held out are helped no more")
    rehearsal_share: float = Field(0.2, ge=0, lt=1, description="share of rehearsal rows in a batch")
    rehearsal: Literal["uniform", "recent", "strata", "loss"] = Field(
        "uniform", description="rows rehearsed: uniform, recent (most often), strata (each first tag alike), "
        "loss (what the model is worst at)"
    )
    first_passes: int = Field(3, ge=1, description="passes over the rows of the first model, more over few")
    negatives: int = Field(40, ge=1, description="sampled negatives per row whose slate was not logged")
    slate_negatives: int = Field(3, ge=0, description="sampled negatives per row beside the slate shown")
    slate: int = Field(20, ge=0, description="articles of the slate shown that one example compares with")
    lr_tower: float = Field(3e-4, gt=0, description="learning rate of head and reader encoder")
    lr_temperature: float = Field(5e-2, gt=0, description="learning rate of the temperature")
    lr_features: float = Field(5e-2, gt=0, description="learning rate of the feature weights")
    lr_interplay: float = Field(1e-3, gt=0, description="learning rate of the features' MLP")
    optimizer: Literal["adamw", "sgd", "adafactor"] = Field("adamw", description="adamw, sgd, adafactor")
    loss: Literal["softmax", "bce", "mse"] = Field(
        "softmax", description="softmax: who is chosen among a row's articles; bce: each by itself; mse: "
        "softmax, and how long the one chosen was read, if the first event about it is a read with a dwell"
    )
    increment_scale: float = Field(2.0, gt=0, description="increments multiply each rate by this, by .3 of "
                                   "it where the encoder learns too")
    average: float = Field(0.5, ge=0, lt=1, description="share of the version before in what is published: "
                           "readers get a running average of the learner's weights")
    warmup_steps: int = Field(10, ge=0, description="linear warm-up")
    clip: float = Field(1.0, gt=0, description="gradient norm is cut here")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW's, on the tower and the MLP only")
    holdout: float = Field(0.05, gt=0, lt=0.5, description="newest share of a window, for the gate")
    min_holdout: int = Field(50, ge=1, description="rows the gate wants at least of the window")
    anchors: int = Field(400, ge=1, description="rows of older eras that the gate keeps")
    gate: bool = Field(True, description="false publishes every model, however it compares")
    margin: float = Field(0.01, ge=0, description="NDCG@10 the new model may lose at most; on few rows, "
                          "two standard errors")
    gate_quantile: float = Field(0.05, gt=0, lt=1, description="of the bootstrap; below -margin: refuse")
    parked_rows: int = Field(5000, ge=0, description="rows kept until their article is announced, at most")
    patience_s: float = Field(600.0, ge=0, description="wait so long for most articles to be announced")
    lease_s: float = Field(30.0, gt=0, description="a silent trainer loses its lease after this")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto, cpu, cuda")
    tracking: Literal["tensorboard", "wandb", "mlflow", "none"] = Field(
        "tensorboard", description="tensorboard (HOME/tracking), wandb, mlflow, none"
    )
    seed: int = Field(7, description="of sampling, initialisation and bootstrap")


class Scorer(Section):
    explore: float = Field(0.1, ge=0, le=1, description="share of a slate given to exploration, never the "
                           "first place")
    explore_times: int = Field(100, ge=1, description="an article is explored so often by all scorers in sum")
    explore_age_s: float = Field(30 * 86_400.0, gt=0, description="an article published longer before the "
                                 "newest read is explored no more")
    diversity: float = Field(0.0, ge=0, le=1, description="of a list whose request names none")
    calibration: float = Field(0.0, ge=0, le=1, description="of a list whose request names none")
    duplicate: float = Field(0.95, gt=0, le=1.01, description="cosine at which texts are one article")
    per_source: int = Field(0, ge=0, description="articles of one source in a list; 0: any number")
    per_topic: int = Field(0, ge=0, description="articles of one first tag in a list; 0: any number")
    rerank: int = Field(200, ge=1, description="best articles by the fast score that get the full one")
    exact: int = Field(100_000, ge=0, description="articles up to which all are scored; of more, candidates "
                       "come from an index")
    interests: float = Field(10.0, ge=0, description="what an article just like stated interests gains in "
                             "its score, a logit; 0: they count as reads do")
    prompts: dict[str, str] = Field(
        {"": "{interests}"}, description="what is put around stated interests before they are encoded, "
        "by the domain asked for; \"\": any other"
    )
    refresh_every_s: float = Field(0.5, ge=0, description="one reader's list is refreshed so often at most")
    refresh_max_age_s: float = Field(30.0, gt=0, description="older refreshes are dropped, counted")
    sync_s: float = Field(0.2, gt=0, description="how often counters and catalogue are read")


    @field_validator("prompts")
    @classmethod
    def _says_what_is_stated(cls, prompts: dict[str, str]) -> dict[str, str]:
        for domain, prompt in prompts.items():
            if "{interests}" not in prompt:
                raise ValueError(f"the prompt of {domain or 'any domain'!r} lacks {{interests}}: all readers "
                                 "would say the same")
        return prompts


class Web(Section):
    host: str = Field("127.0.0.1", description="address of the HTTP side; on any but this machine's own it "
                      "needs API keys")
    port: int = Field(8787, ge=0, le=65_535, description="its port; 0: any that is free")
    workers: int = Field(1, ge=1, le=64, description="processes behind the port, each with its own scorer")
    dashboard: bool = Field(True, description="serve the dashboard, too")
    dashboard_port: int = Field(8788, ge=0, le=65_535, description="the dashboard's own port, if there are "
                                "several workers; with one it is at /dashboard")
    password: SecretStr = Field(SecretStr(""), description="to act on the dashboard, and to look at it from "
                                "another machine; empty: nobody can")
    api_keys: SecretStr = Field(SecretStr(""), description="who may ask, with commas; empty: all")


class Monitor(Section):
    period_s: float = Field(60.0, gt=0, description="a report at least this often")
    click_timeout_s: float = Field(30.0, gt=0, description="a slate not clicked by then was ignored")
    reference: int = Field(2000, ge=50, description="values of a reference window")
    window: int = Field(500, ge=50, description="values of a current window")
    psi: float = Field(0.15, gt=0, description="PSI of a mix that is an alarm, if chance gives less")
    delta: float = Field(0.01, gt=0, lt=1, description="ADWIN's confidence")


class Traces(Section):
    to: str = Field("", description="where OpenTelemetry traces go: an http address of a collector, a file, "
                    "console; empty: nowhere")
    share: float = Field(0.01, gt=0, le=1, description="share of the events that are followed")


class _Environment(EnvSettingsSource):
    """The environment. An empty STREAMREC_HOME, which would be the working folder, counts as not set."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if (name, value) != ("home", "")}


class Settings(BaseSettings):
    """The whole configuration. Build with `load()`, which turns mistakes into one sentence."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMREC_", env_nested_delimiter="__", frozen=True, extra="forbid",
        toml_file="streamrec.toml", protected_namespaces=(),
    )
    home: Path = Field(Path("~/.local/share/streamrec"), description="data of `up`, logs, models")
    models_url: str = Field("", description="fsspec URL of the model store; empty: HOME/models")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning, error"
    )
    metrics_port: int = Field(
        0, ge=0, le=65_000, description="Prometheus metrics of collect on this port, of "
        "catalogue, score, train, monitor and web on the next five, of further web workers and of their "
        "dashboard on those after; 0: none"
    )
    metrics_host: str = Field("127.0.0.1", description="address of those ports")
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    buffer: Buffer = Buffer()
    encoder: Encoder = Encoder()
    model: Model = Model()
    trainer: Trainer = Trainer()
    scorer: Scorer = Scorer()
    monitor: Monitor = Monitor()
    web: Web = Web()
    traces: Traces = Traces()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, _Environment(settings_cls), file_secret_settings, toml

    @property
    def home_dir(self) -> Path:
        """`home` with ~ resolved."""
        return self.home.expanduser()

    @property
    def models_root(self) -> str:
        """fsspec URL of the model store."""
        return self.models_url or str(self.home_dir / "models")


def load(**overrides: Any) -> Settings:
    """Read the environment. Servers that `up` runs in this home fill in addresses not given.

    Raises SetupError naming the first setting that is wrong.
    """
    _refuse_unknown(os.environ)
    secrets = "/run/secrets" if os.path.isdir("/run/secrets") else None
    try:
        settings = Settings(_secrets_dir=secrets, **overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = "STREAMREC_" + "__".join(str(p) for p in first["loc"][:2]).upper()  # what is within has none
        raise SetupError(f"{name}: {first['msg']}; see the settings table in README.md") from None
    except (SettingsError, TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SetupError(f"STREAMREC_* or streamrec.toml cannot be read: {error}") from None
    return _with_running_servers(_with_a_home(settings))


_SERVICE = re.compile(r"^STREAMREC_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)$")


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable must not be silently ignored."""
    known = [v for v, _, _ in table()] + [f"STREAMREC_{n}".upper() for n in Settings.model_fields]
    for name in environment:
        ours = name.startswith("STREAMREC_") and name.upper() not in known
        if ours and not _SERVICE.match(name):  # which Kubernetes sets for a Service named streamrec
            near = get_close_matches(name.upper(), known, 1)
            hint = f"did you mean {near[0]}?" if near else "see `streamrec settings`"
            raise SetupError(f"{name} is no setting: {hint}")


def table(settings: Settings | None = None) -> list[tuple[str, str, str]]:
    """Every setting as (variable, value or default, meaning); secrets are masked."""
    found: list[tuple[str, str, str]] = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name) if settings else field.default
        if isinstance(field.default, Section):
            for sub, inner in type(field.default).model_fields.items():
                variable = f"STREAMREC_{name}__{sub}".upper()
                found.append((variable, _shown(getattr(value, sub)), inner.description or ""))
        else:
            found.append((f"STREAMREC_{name}".upper(), _shown(value), field.description or ""))
    return found


def _shown(value: Any) -> str:
    if isinstance(value, tuple | dict):
        return json.dumps(value)
    return str(value)


def up_file(home: Path) -> Path:
    """Where `up` writes its pid and the addresses of its servers."""
    return home / "up.json"


def running(home: Path) -> dict[str, Any] | None:
    """What `up` wrote for this home, if that process is alive."""
    try:
        found: dict[str, Any] = json.loads(up_file(home).read_text())
        os.kill(found["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return found


def _with_a_home(s: Settings) -> Settings:
    try:
        s.home.expanduser()
    except RuntimeError:
        raise SetupError(f"STREAMREC_HOME={s.home}: whose home folder that is cannot be told; give the whole "
                         "path") from None
    return s


def _with_running_servers(s: Settings) -> Settings:
    up = running(s.home_dir) or {}
    kafka = s.kafka.bootstrap_servers or up.get("kafka", "")
    redis = s.redis.url.get_secret_value() or up.get("redis", "")
    return s.model_copy(update={
        "kafka": s.kafka.model_copy(update={"bootstrap_servers": kafka}),
        "redis": s.redis.model_copy(update={"url": SecretStr(redis)}),
    })
