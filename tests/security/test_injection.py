"""Text from outside is data: as a key, namespace, thread, filter or value it finds itself and nothing else.

The texts are of the kinds that published attacks on agents' databases used: quotes that end a literal, filter keys that
end a JSON path, wildcards that match other tenants, operators of other query languages. Each comes back as it is, or
is refused with an error of ours that says what is wrong with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew import BaseStore, Checkpointer, Command, SqliteCache, Workflow, entrypoint, interrupt, task
from clew.errors import ClewError, InvalidFilter, UsageError
from clew.storage.base import ListThreads
from support.colours import thread

TEXTS: dict[str, str] = {
    "a quote": "'",
    "a quote that ends a literal": "x' OR '1'='1",
    "a statement": "'; DROP TABLE clew_items; --",
    "a union": "' UNION SELECT value FROM clew_items --",
    "a JSON path": "a') = '' OR 1=1 OR json_extract(value, '$.a",
    "a JSON path in double quotes": '$."a" OR "1"="1',
    "a double quote": '"',
    "a doubled quote": "''",
    "a backslash": "\\",
    "a backslash and a quote": "\\'",
    "a percent sign": "%",
    "an underscore": "_",
    "an asterisk": "*",
    "a question mark": "?",
    "brackets": "[a-z]",
    "a parameter": ":thread_id",
    "a numbered parameter": "?1",
    "a dollar parameter": "$1",
    "a format": "%s %(x)s {0} {x!r}",
    "a tag of Redis": "@thread_id:{*}",
    "a query of Redis": "*=>[KNN 10 @v $b]",
    "an operator of Mongo": '{"$ne": null}',
    "an operator": "$ne",
    "a comment": "/* */ --",
    "a line end": "a\nb\r\n",
    "a tab": "\t",
    "an escape": "\x1b[2J",
    "a blank": " ",
    "Chinese": "记忆",
    "Arabic": "ذاكرة",
    "Hindi": "स्मृति",
    "a right-to-left mark": "\u202eabc",
    "an accent beside": "e\u0301",
    "a null that is none": "\\x00",
    "an emoji": "🧶",
    "a plane of its own": "\U0010ffff",
    "a path": "../../etc/passwd",
    "a URL": "file:kept.db?mode=ro",
    "a template": "${jndi:ldap://x} {{7*7}}",
    "a very long one": "x'%_" * 250_000,
}
REFUSED = {"half of a surrogate pair": "\ud800"}
NULS = {"a NUL": "\x00", "a NUL inside": "a\x00b"}
every_text = pytest.mark.parametrize("text", (TEXTS | NULS | REFUSED).values(), ids=[*TEXTS, *NULS, *REFUSED])


def as_data(attempt: Callable[[], Any], text: str) -> bool:
    """Say whether the attempt took the text as data; what is no data everywhere may be refused by an error of ours."""
    try:
        attempt()
    except ClewError:
        assert "\ud800" in text or "\x00" in text or "." in text or len(text) > 2_000
        return False
    return True


@pytest.fixture
def peopled(store: BaseStore) -> BaseStore:
    """A store with the memories of others, which no text may find, change or delete."""
    for name in ("alice", "bob", "a_b", "a%b", "ab", "x"):
        store.put(("tenants", name), "k", {"owner": name, "a": 1})
    return store


def others(store: BaseStore) -> list[Any]:
    return [item.dict() for item in store.search(("tenants",), limit=100)]


@every_text
def test_a_namespace_finds_itself_alone(peopled: BaseStore, text: str) -> None:
    before = others(peopled)
    if as_data(lambda: peopled.put((text,), "k", {"n": 1}), text):
        assert [item.namespace for item in peopled.search((text,))] == [(text,)]
        assert peopled.get((text,), "k").value == {"n": 1}  # type: ignore[union-attr]
        assert peopled.search(("tenants", text)) == []
        assert peopled.list_namespaces(suffix=(text,))[0] == (text,) or text == "*"
        assert (text,) in peopled.list_namespaces(limit=100)
        peopled.delete((text,), "k")
        assert peopled.search((text,)) == []
    assert others(peopled) == before


@every_text
def test_a_namespace_does_not_reach_what_lies_beside_it(store: BaseStore, text: str) -> None:
    if as_data(lambda: store.put(("t", text), "k", {"n": 1}), text):
        for other in (f"{text}x", f"x{text}", "x", "xx", "abc", text.swapcase() + "-"):
            if other != text and "." not in other:
                store.put(("t", other), "k", {"n": 2})
        assert [item.value for item in store.search(("t", text))] == [{"n": 1}]
        assert store.search(("t",), filter={"n": 1})[0].namespace == ("t", text)


@every_text
def test_a_key_finds_itself_alone(peopled: BaseStore, text: str) -> None:
    before = others(peopled)
    if as_data(lambda: peopled.put(("keys",), text, {"n": 1}), text):
        peopled.put(("keys",), "other", {"n": 2})
        assert peopled.get(("keys",), text).key == text  # type: ignore[union-attr]
        peopled.delete(("keys",), text)
        assert [item.key for item in peopled.search(("keys",))] == ["other"]
    assert others(peopled) == before


@every_text
def test_a_value_comes_back_as_it_is(peopled: BaseStore, text: str) -> None:
    value = {"text": text, text[:1000]: [text, {text[:1000]: text}]}
    if as_data(lambda: peopled.put(("values",), "k", value), text):
        assert peopled.get(("values",), "k").value == value  # type: ignore[union-attr]
        assert [item.value for item in peopled.search((), filter={"text": text})] == [value]
        assert [item.value for item in peopled.search((), filter={"text": {"$in": [text]}})] == [value]
        assert value not in [item.value for item in peopled.search((), filter={"text": {"$ne": text}}, limit=50)]


@every_text
def test_a_filter_key_is_a_path_or_refused(peopled: BaseStore, text: str) -> None:
    for filter in ({text: 1}, {f"a{text}": 1}, {f"a.{text}": 1}, {"$not": {text: 1}}, {"$or": [{text: {"$gt": 0}}]}):
        try:
            found = peopled.search(("tenants",), filter=filter)
        except InvalidFilter:
            continue
        # A path that no memory has: only its absence is found.
        assert found == [] or list(filter) == ["$not"]


@every_text
def test_a_filter_operator_is_known_or_refused(peopled: BaseStore, text: str) -> None:
    for operator in (f"${text}", f"$eq{text}", f"$gt) OR ({text}"):
        with pytest.raises(InvalidFilter):
            peopled.search(("tenants",), filter={"owner": {operator: "alice"}})


@every_text
def test_an_operand_is_compared_and_nothing_else(peopled: BaseStore, text: str) -> None:
    for operator in ("$eq", "$contains"):
        assert peopled.search(("tenants",), filter={"owner": {operator: f"~{text}~"}}) == []
    assert peopled.search(("tenants",), filter={"owner": {"$in": [f"~{text}", f"{text}~"]}}) == []
    assert len(peopled.search(("tenants",), filter={"owner": {"$ne": f"~{text}~"}})) == 6


@every_text
def test_a_query_is_words_and_nothing_else(peopled: BaseStore, text: str) -> None:
    before = others(peopled)
    peopled.search(("tenants",), query=text, mode="keyword")
    peopled.search(("tenants",), query=text)
    assert others(peopled) == before


@pytest.mark.parametrize("pattern", ["%", "_", "a%", "a_b", "?", "[a-z]*", "ali*", "tenants%"])
def test_a_pattern_of_labels_knows_the_asterisk_alone(peopled: BaseStore, pattern: str) -> None:
    found = peopled.list_namespaces(suffix=(pattern,), limit=100)
    assert found == ([("tenants", "a_b")] if pattern == "a_b" else [])
    assert peopled.search(("tenants", pattern)) == [] or pattern == "a_b"
    assert len(peopled.list_namespaces(suffix=("*",), limit=100)) == 6
    assert peopled.search(("*",)) == []


@pytest.mark.parametrize("value", [-1, 10**30, "1; DROP TABLE clew_items", "1", 1.5, True, None, [1]])
@pytest.mark.parametrize("name", ["limit", "offset"])
def test_a_number_is_a_number_or_refused(peopled: BaseStore, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} is a whole number"):
        peopled.search(("tenants",), **{name: value})


def echo(saver: Checkpointer) -> Workflow[Any, Any]:
    @task
    def repeat(what: str) -> str:
        return what

    @entrypoint(checkpointer=saver, name="echo")
    def run(what: str, *, previous: Any = None) -> Any:
        return [repeat(what).result(), interrupt(what), previous and previous[0]]

    return run


@every_text
def test_a_thread_finds_itself_alone(saver: Checkpointer, text: str) -> None:
    workflow = echo(saver)
    for name in ("x", "alice", "a_b", "ab"):
        workflow.invoke(f"of {name}", thread(name))
    if as_data(lambda: workflow.invoke("mine", thread(text, metadata={"who": text[:50_000]})), text):
        assert workflow.invoke(Command(resume=text[:50_000]), thread(text)) == ["mine", text[:50_000], None]
        assert workflow.get_state(thread(text)).metadata["who"] == text[:50_000]
        assert text in {key.thread_id for key in saver.execute(ListThreads())}
        saver.delete_thread(text)
        assert not workflow.get_state(thread(text)).values
    assert {key.thread_id for key in saver.execute(ListThreads())} == {"x", "alice", "a_b", "ab"}
    assert workflow.get_state(thread("a_b")).interrupts[0].value == "of a_b"


@every_text
def test_what_a_run_takes_and_gives_comes_back_as_it_is(saver: Checkpointer, text: str) -> None:
    workflow = echo(saver)
    workflow.invoke(text, thread())
    assert workflow.get_state(thread()).interrupts[0].value == text
    assert workflow.invoke(Command(resume={text: [text]}), thread()) == [text, {text: [text]}, None]


@every_text
def test_a_checkpoint_of_a_strange_name_is_none(saver: Checkpointer, text: str) -> None:
    workflow = echo(saver)
    workflow.invoke("mine", thread("x"))
    config = {"configurable": {"thread_id": "x", "checkpoint_id": text}}
    for attempt in (lambda: workflow.get_state(config), lambda: workflow.invoke(None, config)):
        try:
            found = attempt()
        except (ClewError, ValueError):
            continue
        assert not getattr(found, "values", None)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SqliteCache]:
    kept = SqliteCache(tmp_path / "cache.db")
    yield kept
    kept.close()


@every_text
def test_a_cache_finds_what_was_put_under_that_very_name(cache: SqliteCache, text: str) -> None:
    cache.set(("a",), "k", b"other", None)
    cache.set((text,), text, b"mine", None)
    assert cache.get((text,), text) == b"mine"
    assert cache.get((text,), "k") is None
    cache.clear((text,))
    assert (cache.get((text,), text), cache.get(("a",), "k")) == (None, b"other")


def test_the_tables_are_still_there(tmp_path: Path) -> None:
    """What the statements above would have done shows that the texts are the right ones."""
    connection = sqlite3.connect(tmp_path / "plain.db")
    connection.executescript("CREATE TABLE clew_items (value TEXT); INSERT INTO clew_items VALUES ('kept');")
    connection.executescript(f"SELECT '{TEXTS['a statement']}")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.execute("SELECT * FROM clew_items")
    connection.close()
