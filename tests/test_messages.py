"""What add_messages promises, on dicts and on LangChain's messages."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import Any

import pytest

from clew.errors import InvalidMessage, MissingDependency
from clew.messages import REMOVE_ALL_MESSAGES, RemoveMessage, add_messages


def said(id: str, content: str = "x", role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content, "id": id}


def ids(messages: list[Any]) -> list[str]:
    return [message["id"] if isinstance(message, dict) else message.id for message in messages]


def test_new_messages_are_appended() -> None:
    assert add_messages([said("1")], [said("2"), said("3")]) == [said("1"), said("2"), said("3")]


def test_each_side_may_be_one_message() -> None:
    assert add_messages(said("1"), said("2")) == [said("1"), said("2")]


def test_a_message_with_a_known_id_replaces_in_place() -> None:
    assert add_messages([said("1"), said("2")], said("1", "new")) == [said("1", "new"), said("2")]


def test_of_two_new_messages_with_one_id_the_last_counts() -> None:
    assert add_messages([said("1")], [said("2", "a"), said("2", "b")]) == [said("1"), said("2", "b")]
    assert add_messages([said("1")], [said("1", "a"), said("1", "b")]) == [said("1", "b")]


def test_missing_ids_are_random_uuids_and_set_on_what_was_passed_in() -> None:
    old, new = {"role": "user", "content": "a"}, {"role": "ai", "content": "b", "id": None}
    merged = add_messages([old], [new])
    assert [uuid.UUID(id).version for id in ids(merged)] == [4, 4]
    assert merged[0] is old
    assert merged[1] is new


def test_the_lists_passed_in_are_not_changed() -> None:
    left, right = [said("1"), said("2")], [RemoveMessage("1"), said("2", "new"), said("3")]
    add_messages(left, right)
    assert (left, len(right)) == ([said("1"), said("2")], 3)


def test_dicts_keep_every_field_they_have() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "c"}], "id": "1"}
    assert add_messages([], [call]) == [{"role": "assistant", "tool_calls": [{"id": "c"}], "id": "1"}]
    assert add_messages([call], [said("2")]) == [call, said("2")]


def test_an_empty_side_adds_nothing() -> None:
    assert add_messages([], []) == []
    assert add_messages([], said("1")) == add_messages(said("1"), []) == [said("1")]


class TestRemoval:
    def test_a_message_is_removed_by_id(self) -> None:
        assert add_messages([said("1"), said("2")], RemoveMessage(id="1")) == [said("2")]

    def test_removing_twice_is_fine(self) -> None:
        assert add_messages([said("1")], [RemoveMessage("1"), RemoveMessage("1")]) == []

    def test_a_message_added_in_the_same_list_can_be_removed(self) -> None:
        assert add_messages([said("1")], [said("2"), RemoveMessage("2")]) == [said("1")]

    def test_an_unknown_id_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"Attempting to delete a message with an ID that doesn't exist.*'9'"):
            add_messages([said("1")], [RemoveMessage("9")])

    def test_removed_then_given_again_replaces_in_place(self) -> None:
        again = [RemoveMessage("1"), said("1", "new")]
        assert add_messages([said("1"), said("2")], again) == [said("1", "new"), said("2")]

    def test_remove_all_drops_all_before_it(self) -> None:
        right = [said("2"), RemoveMessage(REMOVE_ALL_MESSAGES), said("3"), said("4")]
        assert add_messages([said("1")], right) == [said("3"), said("4")]

    def test_the_last_remove_all_counts(self) -> None:
        everything = RemoveMessage(id=REMOVE_ALL_MESSAGES)
        assert add_messages([said("1")], [everything, said("2"), everything]) == []

    def test_a_removal_after_remove_all_is_never_in_the_outcome(self) -> None:
        everything = RemoveMessage(REMOVE_ALL_MESSAGES)
        assert add_messages([said("1")], [everything, said("2"), RemoveMessage("1")]) == [said("2")]
        assert add_messages([said("1")], [everything, said("2"), RemoveMessage("2")]) == []
        with pytest.raises(InvalidMessage, match="doesn't exist"):
            add_messages([said("1")], [everything, RemoveMessage("9")])

    def test_an_id_given_again_after_remove_all_is_a_message_like_others(self) -> None:
        everything = RemoveMessage(REMOVE_ALL_MESSAGES)
        assert add_messages([said("1")], [everything, said("2", "a"), said("2", "b"), said("1")]) == [
            said("2", "b"),
            said("1"),
        ]

    def test_a_dict_may_ask_for_it(self) -> None:
        assert add_messages([said("1"), said("2")], [{"role": "remove", "id": "1"}]) == [said("2")]
        assert add_messages([said("1"), said("2")], [{"type": "remove", "id": "1", "content": ""}]) == [said("2")]

    def test_a_removal_in_the_left_is_refused(self) -> None:
        with pytest.raises(InvalidMessage, match="left"):
            add_messages([RemoveMessage("1")], [said("1")])

    def test_it_is_a_value_with_the_fields_of_a_message(self) -> None:
        removal = RemoveMessage(id="1")
        assert removal == RemoveMessage("1") != RemoveMessage("2")
        assert (removal.id, removal.type, removal.content) == ("1", "remove", "")

    def test_it_needs_an_id(self) -> None:
        with pytest.raises(InvalidMessage, match="None"):
            RemoveMessage(id=None)  # type: ignore[arg-type]


class TestRefusals:
    @pytest.mark.parametrize(
        ("message", "says"),
        [
            ({"role": "robot", "content": "x"}, "'robot'.*assistant"),
            (("robot", "x"), "'robot'.*assistant"),
            ({"type": "robot", "content": "x"}, "'robot'.*assistant"),
            ({"role": ["user"], "content": "x"}, "unknown message role"),
            ({"content": "x"}, "needs a 'role'"),
            ({"role": "user"}, "'content'"),
            ({"content": "x"}, "role"),
            ({"role": "user", "content": "x", "id": 5}, "id of a message must be text, not 5"),
            (("user", "x", "y"), "not a message"),
            (3, r"not a message: 3 \(int\)"),
        ],
    )
    def test_what_is_no_message_is_refused_with_a_reason(self, message: object, says: str) -> None:
        for left in ([], [said("1")]):
            with pytest.raises(ValueError, match=says):
                add_messages(left, [message])

    def test_one_side_alone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="left is None"):
            add_messages(None, [said("1")])
        with pytest.raises(ValueError, match="right is None"):
            add_messages([], None)

    def test_an_unknown_format_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'openai'"):
            add_messages([], [], format="openai")  # type: ignore[call-overload]


class TestWithoutLangchain:
    @pytest.fixture(autouse=True)
    def absent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "langchain_core"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "langchain_core", None)

    def test_texts_and_pairs_become_dicts(self) -> None:
        merged = add_messages("hi", [("assistant", "hello"), ["user", "bye"]])
        assert [(m["role"], m["content"]) for m in merged] == [
            ("user", "hi"), ("assistant", "hello"), ("user", "bye")
        ]  # fmt: skip
        assert all(uuid.UUID(m["id"]).version == 4 for m in merged)

    def test_langchains_form_names_what_is_missing(self) -> None:
        with pytest.raises(MissingDependency, match="langchain-core"):
            add_messages([], [{"type": "human", "content": "x"}])
        with pytest.raises(ImportError, match="langchain-core"):
            add_messages([], [said("1")], format="langchain-openai")


def test_dicts_alone_never_import_langchain() -> None:
    code = (
        "import sys; from clew.messages import add_messages, RemoveMessage\n"
        "left = add_messages([], [{'role': 'user', 'content': 'x', 'id': '1'}])\n"
        "add_messages(left, [RemoveMessage('1'), {'role': 'ai', 'content': 'y'}])\n"
        "assert not [name for name in sys.modules if name.startswith('langchain')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestLangchain:
    @pytest.fixture(autouse=True)
    def lc(self) -> Any:
        return pytest.importorskip("langchain_core.messages")

    def test_messages_stay_the_objects_they_are(self, lc: Any) -> None:
        old, new = lc.HumanMessage("a", id="1"), lc.AIMessage("b")
        merged = add_messages([old], new)
        assert merged[0] is old
        assert merged[1] is new
        assert uuid.UUID(new.id).version == 4

    def test_a_message_with_a_known_id_replaces_in_place(self, lc: Any) -> None:
        left = [lc.HumanMessage("a", id="1"), lc.AIMessage("b", id="2")]
        assert add_messages(left, lc.HumanMessage("c", id="1")) == [lc.HumanMessage("c", id="1"), left[1]]

    @pytest.mark.parametrize(
        ("role", "name"),
        [
            ("human", "HumanMessage"), ("user", "HumanMessage"), ("ai", "AIMessage"), ("assistant", "AIMessage"),
            ("system", "SystemMessage"), ("developer", "SystemMessage"),
        ],
    )  # fmt: skip
    def test_pairs_become_the_class_of_their_role(self, lc: Any, role: str, name: str) -> None:
        (message,) = add_messages([], [(role, "text")])
        assert (type(message), message.content) == (getattr(lc, name), "text")
        assert uuid.UUID(message.id).version == 4

    def test_a_text_is_the_users(self, lc: Any) -> None:
        assert add_messages([lc.AIMessage("a", id="1")], "hi")[1].type == "human"

    def test_dicts_beside_a_message_become_messages(self, lc: Any) -> None:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
        merged = add_messages(
            [said("1", "hi"), {"role": "assistant", "tool_calls": [call], "id": "2"}],
            [{"role": "tool", "content": "r", "tool_call_id": "c", "id": "3"}, lc.AIMessage("b", id="4")],
        )
        assert merged == [
            lc.HumanMessage("hi", id="1"),
            lc.AIMessage("", id="2", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}]),
            lc.ToolMessage("r", id="3", tool_call_id="c"),
            lc.AIMessage("b", id="4"),
        ]

    def test_serialized_messages_become_messages(self, lc: Any) -> None:
        envelope = {"lc": 1, "type": "constructor", "id": ["x", "AIMessage"], "kwargs": {"content": "b", "id": "2"}}
        merged = add_messages([{"type": "human", "content": "a", "id": "1"}], [envelope])
        assert merged == [lc.HumanMessage("a", id="1"), lc.AIMessage("b", id="2")]

    def test_a_pair_beside_dicts_makes_all_of_them_messages(self, lc: Any) -> None:
        merged = add_messages([said("1", "a")], [("ai", "b")])
        assert [type(m) for m in merged] == [lc.HumanMessage, lc.AIMessage]

    def test_dicts_alone_stay_dicts(self) -> None:
        assert add_messages([said("1")], [said("2")]) == [said("1"), said("2")]

    def test_chunks_become_messages_and_keep_the_id_they_are_given(self, lc: Any) -> None:
        chunk = lc.AIMessageChunk("a")
        (first,) = add_messages([], [chunk])
        (second,) = add_messages([first], [chunk])
        assert type(first) is lc.AIMessage
        assert first == second
        assert first.id == chunk.id

    def test_both_kinds_of_removal_are_taken_on_both_kinds_of_message(self, lc: Any) -> None:
        for removal in (RemoveMessage("1"), lc.RemoveMessage(id="1"), {"role": "remove", "id": "1"}):
            assert add_messages([said("1"), said("2")], [removal]) == [said("2")]
            assert ids(add_messages([lc.HumanMessage("a", id="1"), lc.AIMessage("b", id="2")], [removal])) == ["2"]

    def test_langchains_remove_all_is_taken(self, lc: Any) -> None:
        merged = add_messages(
            [lc.HumanMessage("a", id="1")],
            [lc.RemoveMessage(id=REMOVE_ALL_MESSAGES), lc.HumanMessage("b", id="2"), lc.RemoveMessage(id="1")],
        )
        assert merged == [lc.HumanMessage("b", id="2")]

    def test_a_serialized_removal_is_one(self, lc: Any) -> None:
        envelope = {"lc": 1, "type": "constructor", "id": ["x", "RemoveMessage"], "kwargs": {"content": "", "id": "1"}}
        assert add_messages([lc.HumanMessage("a", id="1")], [envelope]) == []

    def test_an_unknown_id_is_refused(self, lc: Any) -> None:
        with pytest.raises(ValueError, match="Attempting to delete a message with an ID that doesn't exist"):
            add_messages([lc.HumanMessage("a", id="1")], lc.RemoveMessage(id="2"))


class TestOpenaiFormat:
    @pytest.fixture(autouse=True)
    def lc(self) -> Any:
        return pytest.importorskip("langchain_core.messages")

    def test_without_messages_it_gives_a_function_of_the_two(self, lc: Any) -> None:
        add = add_messages(format="langchain-openai")
        assert add([said("1", "a")], [lc.AIMessage("b", id="2")]) == [
            lc.HumanMessage("a", id="1"), lc.AIMessage("b", id="2")
        ]  # fmt: skip
        assert add_messages()([said("1")], [said("2")]) == [said("1"), said("2")]

    def test_blocks_take_openais_form(self, lc: Any) -> None:
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "1234"}}
        url = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,1234"}}
        text = {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}}
        use = {"type": "tool_use", "name": "see", "input": {"a": 1}, "id": "c"}
        result = {"type": "tool_result", "tool_use_id": "c", "is_error": False, "content": [image]}
        merged = add_messages(
            [lc.HumanMessage([text, image], id="1"), lc.AIMessage([use], id="2")],
            [lc.HumanMessage([result], id="3")],
            format="langchain-openai",
        )
        assert merged == [
            lc.HumanMessage([{"type": "text", "text": "look"}, url], id="1"),
            lc.AIMessage("", id="2", tool_calls=[{"name": "see", "args": {"a": 1}, "id": "c"}]),
            lc.ToolMessage([url], id="3", tool_call_id="c"),
        ]

    def test_ids_and_metadata_survive(self, lc: Any) -> None:
        usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        blocks = [{"type": "text", "text": "b"}]
        said_so = lc.AIMessage(blocks, id="1", usage_metadata=usage, response_metadata={"model": "m"})
        (kept,) = add_messages([], [said_so], format="langchain-openai")
        assert (kept.id, kept.content, kept.usage_metadata) == ("1", "b", usage)
        assert kept.response_metadata == {"model": "m"}
        assert said_so.content == blocks

    def test_what_follows_remove_all_is_formatted_too(self, lc: Any) -> None:
        right = [RemoveMessage(REMOVE_ALL_MESSAGES), lc.HumanMessage([{"type": "text", "text": "b"}], id="2")]
        assert add_messages([lc.HumanMessage("a", id="1")], right, format="langchain-openai") == [
            lc.HumanMessage("b", id="2")
        ]

    def test_a_second_message_made_of_one_has_an_id_of_its_own(self, lc: Any) -> None:
        blocks = [{"type": "tool_result", "tool_use_id": "c", "content": "r"}, {"type": "text", "text": "and"}]
        merged = add_messages([], [lc.HumanMessage(blocks, id="1")], format="langchain-openai")
        assert {m.type: m.id == "1" for m in merged} == {"human": True, "tool": False}
        assert len({m.id for m in merged}) == 2
