"""A log folder in, one stream in time order out."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from streamrec.datasets import TYPES, articles, check_writable, feedback, find, in_time_order
from streamrec.errors import SetupError
from streamrec.events import Article, Feedback, decode, encode

T = 1_700_000_000


def event(n: int, at: float, item: str = "a", **more: Any) -> dict[str, Any]:
    return {"event_id": f"e{n}", "user_id": "u", "item_id": item, "type": "click", "ts": at, **more}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(r) + "\n" for r in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def names(folder: Path) -> list[str]:
    return [m.item_id if isinstance(m, Article) else m.event_id for _, m in in_time_order(folder)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_articles_and_events_come_in_time_order(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"events{suffix}", [event(2, T + 20), event(1, T + 10, "b"), event(0, T + 5)])
    write(tmp_path / f"articles{suffix}", [
        {"item_id": "b", "title": "B", "published_at": T + 7}, {"item_id": "a", "published_at": T},
    ])
    assert names(tmp_path) == ["a", "e0", "b", "e1", "e2"]
    times = [at for at, _ in in_time_order(tmp_path)]
    assert times == sorted(times)


def test_csv_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        "event_id,user_id,item_id,event_type,timestamp,event_value,impression\n"
        "e0,7,42,read,2023-11-14T22:13:20Z,12.5,\n"
        f"e1,7,,impression,{T + 1},,42|43\n"
    )
    (tmp_path / "articles.csv").write_text(
        f'item_id,title,body,published_at,tags\n42,"A, B",text,{T - 5},sport|world\n43,,,,\n'
    )
    stream = [m for _, m in in_time_order(tmp_path)]
    first = stream[0]
    assert isinstance(first, Article) and (first.title, first.tags) == ("A, B", ["sport", "world"])
    read, shown = [m for m in stream if isinstance(m, Feedback)]
    assert (read.user_id, read.item_id, read.event_value, read.timestamp) == ("7", "42", 12.5, T)
    assert shown.item_id is None and shown.impression == ["42", "43"]


def test_articles_that_only_events_name_are_announced_just_before(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [
        event(0, T, "new"), event(1, T + 1, None, type="impression", impression=["shown", "new"]),
    ])
    write(tmp_path / "articles.jsonl", [{"item_id": "undated", "title": "x"}])
    assert names(tmp_path) == ["undated", "new", "e0", "shown", "e1"]
    quiet = [m for _, m in in_time_order(tmp_path, announce_unknown=False)]
    assert [m.item_id for m in quiet if isinstance(m, Article)] == ["undated"]


def test_an_article_dated_after_its_first_read_comes_before_it_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [event(0, T)])
    write(tmp_path / "articles.jsonl", [{"item_id": "a", "title": "t", "published_at": T + 100}])
    assert names(tmp_path) == ["a", "e0"]


def test_words_of_other_systems_become_ours(tmp_path: Path) -> None:
    kinds = {"VIEW": "click", "bookmark": "like", "answer": "read", "dismiss": "dismiss",
             "dislike": "dismiss", "Hide": "dismiss", "skip": "dismiss", "": "click"}
    write(tmp_path / "events.jsonl", [event(i, T + i, type=k) for i, k in enumerate(kinds)])
    assert [e.event_type for e in feedback(tmp_path)] == list(kinds.values())


def test_every_kind_of_the_logs_we_measure_on_is_known() -> None:
    deskdrop = {"VIEW", "LIKE", "BOOKMARK", "COMMENT CREATED", "FOLLOW"}
    assert {k.lower() for k in deskdrop} | {"comment", "answer", "ask", "edit", "create"} <= TYPES.keys()


@pytest.mark.parametrize("field", ["type", "event_type"])
def test_a_kind_that_nobody_knows_is_refused_with_those_known(tmp_path: Path, field: str) -> None:
    row = event(0, T)
    del row["type"]
    write(tmp_path / "events.jsonl", [event(1, T), row | {field: "purchase"}])
    with pytest.raises(SetupError, match=rf"line 2: 'purchase' .* click, .* skip - at `\$\.{field}`"):
        feedback(tmp_path)


def test_where_an_article_comes_from_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "articles.jsonl", [{"item_id": "a", "source": "Le Monde", "domain": "papers"}])
    [(_, of_lines)] = articles(tmp_path)
    (tmp_path / "articles.jsonl").unlink()
    (tmp_path / "articles.csv").write_text("item_id,source,domain\na,Le Monde,papers\n")
    [(_, of_table)] = articles(tmp_path)
    assert of_lines == of_table and (of_table.source, of_table.domain) == ("Le Monde", "papers")


def test_what_is_read_can_be_published(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [event(i, T + i, f"i{i}") for i in range(5)])
    write(tmp_path / "articles.jsonl", [{"item_id": "i0", "title": "t" * 5000}])
    for at, message in in_time_order(tmp_path):
        assert decode(type(message), encode(message), at + 1) == message


@pytest.mark.parametrize("broken", [
    '{"event_id": ', "[1, 2]", '"text"', "7", '{"event_id": "e", "user_id": "u", "item_id": "a"}',
    json.dumps(event(9, 1) | {"ts": "long ago"}), json.dumps(event(9, T) | {"event_value": "far"}),
    json.dumps(event(9, T) | {"event_value": -1}), json.dumps(event(9, T) | {"user_id": ""}),
    json.dumps(event(9, T) | {"ts": [1]}),
])
def test_a_broken_line_is_named_with_its_file(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(event(0, T)) + "\n\n" + broken + "\n")
    with pytest.raises(SetupError, match=r"events\.jsonl, line 3: ") as failure:
        feedback(tmp_path)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(("change", "field"), [
    ({"ts": T * 1000}, "timestamp"), ({"ts": float("nan")}, "timestamp"), ({"ts": float("inf")}, "timestamp"),
    ({"ts": 5}, "timestamp"), ({"ts": 0}, "timestamp"), ({"item_id": None}, "item_id"),
    ({"type": "impression"}, "impression"),
])
def test_an_event_that_would_be_a_dead_letter_is_refused_before_anything_is_published(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    write(tmp_path / "articles.jsonl", [])
    write(tmp_path / "events.jsonl", [event(0, T), event(1, T) | change, event(2, T)])
    with pytest.raises(SetupError, match=rf"events\.jsonl, line 2: .*`\$\.{field}`"):
        next(in_time_order(tmp_path))
    assert len(feedback(tmp_path)) == 3, "the evaluation counts such events itself"


@pytest.mark.parametrize(("change", "field"), [
    ({"body": "b" * 9_000_000}, "body"), ({"published_at": T * 1000}, "published_at"),
    ({"published_at": float("nan")}, "published_at"),
])
def test_an_article_that_would_be_a_dead_letter_is_refused(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    write(tmp_path / "events.jsonl", [event(0, T)])
    write(tmp_path / "articles.jsonl", [{"item_id": "a"}, {"item_id": "b"} | change])
    with pytest.raises(SetupError, match=rf"articles\.jsonl, line 2: .*`\$\.{field}`"):
        next(in_time_order(tmp_path))
    assert len(list(articles(tmp_path))) == 2


def test_an_id_with_a_control_character_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [event(0, T, "a\x01b")])
    with pytest.raises(SetupError, match=r"line 1: an id holds a control character"):
        next(in_time_order(tmp_path))


def test_events_without_a_time_leave_the_others_in_order(tmp_path: Path) -> None:
    times = [T + 3, float("nan"), T + 1, float("nan"), T + 2]
    write(tmp_path / "events.jsonl", [event(n, at) for n, at in enumerate(times)])
    assert [e.event_id for e in feedback(tmp_path)] == ["e1", "e3", "e2", "e4", "e0"]


@pytest.mark.parametrize(("value", "why"), [
    ("1" + "0" * 400, "is no time: give epoch seconds .*`\\$\\.ts`"),
    ("[" * 200_000 + "]" * 200_000, "nested"),
    ('"soon"', "'soon' is no time: give epoch seconds .*`\\$\\.ts`"),
])
def test_what_python_cannot_hold_is_named_with_its_line(tmp_path: Path, value: str, why: str) -> None:
    row = json.dumps(event(0, T)).replace(str(T), value)
    (tmp_path / "events.jsonl").write_text(json.dumps(event(1, T)) + "\n" + row + "\n")
    with pytest.raises(SetupError, match=rf"events\.jsonl, line 2: .*{why}") as failure:
        feedback(tmp_path)
    assert len(str(failure.value)) < 400 + len(str(tmp_path))


def test_the_mark_that_excel_puts_before_utf_8_is_read_over(tmp_path: Path) -> None:
    table = f"\ufeffevent_id,user_id,item_id,ts\ne0,u,a,{T}\n"
    (tmp_path / "events.csv").write_text(table, encoding="utf-8")
    assert feedback(tmp_path)[0].event_id == "e0"
    (tmp_path / "events.jsonl").write_text("\ufeff" + json.dumps(event(1, T)), encoding="utf-8")
    assert feedback(tmp_path)[0].event_id == "e1"


@pytest.mark.parametrize("name", ["events.jsonl", "events.csv"])
def test_another_encoding_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("event_id,user_id\ne0,Müller\n".encode("latin-1"))
    with pytest.raises(SetupError, match=rf"{name} is not UTF-8: save it as UTF-8") as failure:
        feedback(tmp_path)
    assert "line" not in str(failure.value).rsplit("/", 1)[-1]


def test_a_table_that_cannot_be_parsed_is_named_with_that_line(tmp_path: Path) -> None:
    (tmp_path / "articles.csv").write_text(f"item_id,body\na,{'b' * 200_000}\n")
    with pytest.raises(SetupError, match=r"articles\.csv, line 2: field larger"):
        list(articles(tmp_path))


def test_a_broken_row_of_a_table_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(f"event_id,user_id,item_id,ts\ne0,u,a,{T}\ne1,u,a,soon\n")
    with pytest.raises(SetupError, match=r"events\.csv, line 3: "):
        feedback(tmp_path)


def test_a_broken_article_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [event(0, T)])
    write(tmp_path / "articles.jsonl", [{"item_id": "a"}, {"title": "no id"}])
    with pytest.raises(SetupError, match=r"articles\.jsonl, line 2: .*item_id"):
        list(in_time_order(tmp_path))


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b'{"event_id": "e"}\n' * 999, mtime=0)[:-20]])
def test_a_damaged_archive_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.jsonl.gz").write_bytes(content)
    with pytest.raises(SetupError, match="events"):
        feedback(tmp_path)


def test_what_is_not_there_says_what_should_be(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"events\.jsonl\.gz"):
        find(tmp_path, "events")
    with pytest.raises(SetupError, match="not a folder"):
        find(tmp_path / "none", "events")
    write(tmp_path / "events-2024.jsonl.gz", [event(0, T)])
    assert find(tmp_path, "events").name == "events-2024.jsonl.gz"


def test_where_a_result_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for good in (None, tmp_path / "new.json", tmp_path / "file", Path("new.json"), Path(os.devnull)):
        check_writable(good)
    for bad, why in ((tmp_path, "is a folder"), (tmp_path / "none" / "r.json", "make it first"),
                     (tmp_path / "file" / "r.json", "not a folder"), (tmp_path / ("n" * 300), "too long")):
        with pytest.raises(SetupError, match=why):
            check_writable(bad)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"], "nothing is made on the way"


def test_a_folder_that_is_read_only_takes_no_result(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("root may write anywhere")
        with pytest.raises(SetupError, match="permission denied"):
            check_writable(tmp_path / "r.json")
    finally:
        tmp_path.chmod(0o755)
