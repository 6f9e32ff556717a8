"""Settings: where they come from, what a mistake says, what stays hidden."""

import json
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from streamrec import config
from streamrec.errors import SetupError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working folder, and none of the machine's own settings."""
    for name in [n for n in os.environ if n.startswith("STREAMREC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMREC_HOME", str(tmp_path / "home"))


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "streamrec.toml").write_text("[trainer]\nmin_rows = 5\nbatch = 8\n")
    monkeypatch.setenv("STREAMREC_TRAINER__MIN_ROWS", "9")
    found = config.load().trainer
    assert (found.min_rows, found.batch, found.passes) == (9, 8, 1)


def test_two_underscores_reach_into_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA__BOOTSTRAP_SERVERS", "a:1,b:2")
    monkeypatch.setenv("STREAMREC_BUFFER__HALF_LIVES_S", "[1, 2, 3]")
    found = config.load()
    assert found.kafka.bootstrap_servers == "a:1,b:2" and found.buffer.half_lives_s == (1, 2, 3)


@pytest.mark.parametrize(("name", "value"), [
    ("STREAMREC_SCORER__PROMPTS", '{"": "{interests}", "tools": "a reader"}'),
    ("STREAMREC_BUFFER__HISTORY", "many"), ("STREAMREC_BUFFER__HISTORY", "0"),
    ("STREAMREC_BUFFER__HISTORY", "1000"), ("STREAMREC_TRAINER__LR_TOWER", "-1"),
    ("STREAMREC_KAFKA__BOOTSTRAP", "a:1"), ("STREAMREC_REDIS__CLUSTER", "perhaps"),
    ("STREAMREC_BUFFER__HALF_LIVES_S", "[0, 1, 2]"), ("STREAMREC_BUFFER__HALF_LIVES_S", "[1, -1, 2]"),
    ("STREAMREC_BUFFER__HALF_LIVES_S", "[1, 2, Infinity]"), ("STREAMREC_BUFFER__WEIGHTS", '{"clik": 1}'),
    ("STREAMREC_BUFFER__WEIGHTS", '{"like": -1}'), ("STREAMREC_BUFFER__WEIGHTS", '{"like": 0}'),
    ("STREAMREC_BUFFER__WEIGHTS", '{"like": NaN}'), ("STREAMREC_TRAINER__LR_TOWER", "inf"),
    ("STREAMREC_MONITOR__PERIOD_S", "nan"), ("STREAMREC_KAFKA__TOPIC_PREFIX", "two words"),
    ("STREAMREC_KAFKA__TOPIC_PREFIX", ""), ("STREAMREC_KAFKA__TOPIC_PREFIX", "x" * 201),
    ("STREAMREC_HOME", "~nosuchuser/x"),
])
def test_a_mistake_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError) as failure:
        config.load()
    said = str(failure.value)
    assert re.match(rf"{name}\b", said) and "\n" not in said


@pytest.mark.parametrize(("name", "value"), [
    ("STREAMREC_KAFKA", "localhost:9092"), ("STREAMREC_BUFFER__HALF_LIVES_S", "1,2,3"),
])
def test_a_value_that_cannot_be_read_at_all_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match="STREAMREC_"):
        config.load()


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "streamrec.toml").write_text("[trainer\n")
    with pytest.raises(SetupError, match=r"streamrec\.toml"):
        config.load()


def test_a_file_that_is_not_utf_8_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "streamrec.toml").write_bytes(b'log_level = "\xff"\n')
    with pytest.raises(SetupError, match=r"streamrec\.toml"):
        config.load()


def test_an_empty_home_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMREC_HOME", "")
    assert config.load().home == config.Settings.model_fields["home"].default
    (tmp_path / "streamrec.toml").write_text('home = "/from/the/file"\n')
    assert config.load().home == Path("/from/the/file")


def test_weights_of_some_kinds_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_BUFFER__WEIGHTS", '{"like": 2.5}')
    assert config.load().buffer.weights == {"like": 2.5}


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMREC_REDIS__URL", "redis://:hush@there:1/0")
    monkeypatch.setenv("STREAMREC_KAFKA__SASL_PASSWORD", "hush")
    found = config.load()
    assert "hush" not in repr(found) + str(found) + found.model_dump_json()
    assert found.redis.url.get_secret_value().endswith("hush@there:1/0")


def test_settings_are_frozen() -> None:
    found = config.load()
    with pytest.raises(ValidationError):
        found.buffer.history = 3  # type: ignore[misc]


def test_servers_of_a_running_up_fill_in_what_is_not_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    up = {"pid": os.getpid(), "kafka": "up:1", "redis": "redis://up:2/0"}
    config.up_file(home).write_text(json.dumps(up))
    monkeypatch.setenv("STREAMREC_KAFKA__BOOTSTRAP_SERVERS", "mine:9")
    found = config.load()
    assert found.kafka.bootstrap_servers == "mine:9"
    assert found.redis.url.get_secret_value() == "redis://up:2/0"


@pytest.mark.parametrize("text", ['{"pid": 999999999, "kafka": "gone:1"}', "{", "{}"])
def test_an_up_that_has_died_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "home").mkdir()
    config.up_file(tmp_path / "home").write_text(text)
    assert config.load().kafka.bootstrap_servers == ""


def test_every_setting_is_described() -> None:
    for section in config.Settings.model_fields.values():
        fields = getattr(section.annotation, "model_fields", {})
        assert section.description or fields
        assert all(f.description for f in fields.values())


def test_a_misspelt_variable_is_refused_with_the_name_it_may_have_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA_BOOTSTRAP_SERVERS", "x:1")
    with pytest.raises(SetupError, match="did you mean STREAMREC_KAFKA__BOOTSTRAP_SERVERS"):
        config.load()


def test_the_readme_table_is_the_one_the_settings_make() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for variable, default, meaning in config.table():
        assert f"| `{variable}` | `{default or '(empty)'}` | {meaning} |" in readme


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("STREAMREC_SERVICE_HOST", "STREAMREC_SERVICE_PORT_HTTP", "STREAMREC_PORT",
                 "STREAMREC_PORT_80_TCP_ADDR", "STREAMREC_WEB_SERVICE_PORT"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    assert config.load().log_level == "info"


@pytest.mark.parametrize(("name", "value"), [
    ("STREAMREC_LOG_LEVEL", "verbose"), ("STREAMREC_TRAINER__DEVICE", "gpu"),
    ("STREAMREC_KAFKA__SECURITY_PROTOCOL", "TLS"),
])
def test_a_word_that_is_no_choice_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=name):
        config.load()
