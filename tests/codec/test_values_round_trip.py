"""A value comes back equal and of the same types, without its class being called."""

from __future__ import annotations

import copy
import datetime
import math
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import field, make_dataclass
from decimal import Decimal, localcontext
from enum import Enum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings

from clew.codec.allowed import allow
from clew.codec.allowed import find as find_allowed
from clew.codec.values import decode, encode
from clew.errors import RecordedFailure, UnreadableRecord
from clew.store.operations import Item
from codec import recordable_types as app
from codec.value_strategies import same, values


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_any_value_comes_back_equal_and_of_equal_types(value: Any) -> None:
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -(2**63),
        2**64 - 1,
        2**64,
        -(2**63) - 1,
        10**400,
        "",
        "a\0b",
        "\ud800 alone",
        {"\udfff": ["\ud800"]},
        {2**80: 2**80, "x": (1,)},
        {1: "int", "1": "text", b"1": "bytes", None: "none", 1.5: "float"},
        {(1, 2): {3: (4,)}},
        [True, 1, 1.0],
        datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
        datetime.timezone(datetime.timedelta(hours=2), "summer"),
        ZoneInfo("Asia/Tokyo"),
        Decimal("-Infinity"),
        Decimal("1.500"),
        OrderedDict([("b", 1), ("a", 2)]),
        defaultdict(list, {"a": [(1,)]}),
        Counter("abca"),
        deque([1, (2,)], maxlen=3),
        Path("/tmp") / "x",
        {"deep": [{"in": [((),)]}]},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_value_at_the_edge_of_its_type_comes_back(value: Any) -> None:
    assert same(decode(encode(value)), value)


def test_floats_that_are_not_equal_to_themselves_come_back() -> None:
    nan, negative_zero, infinity = decode(encode([math.nan, -0.0, math.inf]))
    assert math.isnan(nan)
    assert math.copysign(1, negative_zero) == -1
    assert infinity == math.inf
    assert Decimal("sNaN").compare_total(decode(encode(Decimal("sNaN")))) == 0


def test_decimal_comes_back_exactly_whatever_the_context() -> None:
    with localcontext(prec=2):
        assert str(decode(encode(Decimal("1.23456")))) == "1.23456"


def test_order_of_a_dict_is_kept() -> None:
    assert list(decode(encode({"b": (1,), "a": (2,)}))) == ["b", "a"]


def test_a_tuple_deep_in_plain_data_stays_a_tuple() -> None:
    value: Any = (1,)
    for _ in range(40):
        value = [value]
    assert same(decode(encode(value)), value)


def test_attributes_of_an_object_are_looked_at_like_any_dict() -> None:
    # Python keeps the attributes of an object elsewhere than those of another dict.
    holder = app.Stranger()
    holder.items, holder.name = (1, {2}), "x"  # type: ignore[attr-defined]
    assert same(decode(encode(vars(holder))), {"items": (1, {2}), "name": "x"})
    assert same(decode(encode([vars(holder), 1])), [{"items": (1, {2}), "name": "x"}, 1])


def test_value_is_not_shared_with_what_comes_back() -> None:
    value = {"a": [1]}
    back = decode(encode(value))
    back["a"].append(2)
    assert value == {"a": [1]}


@pytest.mark.parametrize("value", [{"list": [1, {"x": (1, 2)}], 3: {4}}, [1, "a", None]], ids=["walked", "plain"])
def test_recording_does_not_change_the_value(value: Any) -> None:
    before = copy.deepcopy(value)
    encode(value)
    assert same(value, before)


class TestClasses:
    def test_dataclass_comes_back_with_all_its_attributes_and_no_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        order = app.Order(7, [app.Line("tea", (1, 2))])
        order.total, order.note = 3, "changed"
        assert order.lock is not None
        data = encode(order)
        monkeypatch.setattr(app, "forbidden", True)
        back = decode(data)
        assert back == order
        assert (back.total, back.note, type(back.lines[0])) == (3, "changed", app.Line)
        assert "lock" not in vars(back)

    def test_pydantic_model_comes_back_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        friend = app.Customer(name="Bo")
        ann = app.Customer(
            name="Ann",
            friends=[friend],
            since="2024-01-01T00:00:00Z",
            site="https://example.org/ann",
            password="secret",
            nickname=("A",),
        )
        ann._visits = 5
        data = encode(ann)
        monkeypatch.setattr(app, "forbidden", True)
        back = decode(data)
        assert back.model_dump() == ann.model_dump()
        assert back.model_fields_set == ann.model_fields_set
        assert back.model_extra == {"nickname": ("A",)}
        assert back._visits == 5
        assert back._lock is not None
        assert (type(back.friends[0]), type(back.since), type(back.site)) == (
            app.Customer,
            datetime.datetime,
            type(ann.site),
        )
        assert back.password.get_secret_value() == "secret"
        assert same(back.since.tzinfo, ann.since.tzinfo)

    def test_pydantic_model_without_private_attributes_is_equal(self) -> None:
        class Plain(pydantic.BaseModel):
            a: tuple[int, ...]
            b: dict[int, str] = {}

        allow(Plain)
        assert decode(encode(Plain(a=(1, 2), b={1: "x"}))) == Plain(a=(1, 2), b={1: "x"})

    @pytest.mark.parametrize(
        "make",
        [
            lambda: app.Reading((1,), "s"),
            lambda: app.Parcel(3, [(1,)]),
            lambda: app.Point((1,), {2}),
            lambda: app.UserId("u"),
            lambda: app.Colour.BLUE,
            lambda: app.Level.LOW,
            lambda: app.Access.READ | app.Access.RUN,
        ],
    )
    def test_object_comes_back_with_no_call(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        value = make()
        data = encode({"x": [value]})
        monkeypatch.setattr(app, "forbidden", True)
        back = decode(data)["x"][0]
        assert back == value
        assert type(back) is type(value)

    def test_subclass_of_list_keeps_items_and_attributes(self) -> None:
        basket = app.Basket([(1,), 2])
        basket.owner = "Bob"
        back = decode(encode(basket))
        assert (back, back.owner, type(back)) == ([(1,), 2], "Bob", app.Basket)

    def test_exception_comes_back_as_a_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        error = app.Declined(5, code="x")
        error.__cause__ = KeyError("why")
        error.add_note("a note")
        data = encode([error])
        monkeypatch.setattr(app, "forbidden", True)
        (back,) = decode(data)
        assert (type(back), back.args, back.code, back.__notes__) == (
            app.Declined, ("5 was declined",), "x", ["a note"],
        )  # fmt: skip
        assert back.__cause__.args == ("why",)

    def test_cause_of_an_unknown_class_is_kept_as_text(self) -> None:
        class Unknown(Exception):
            pass

        error = ValueError(1)
        error.__cause__ = Unknown("gone")
        cause = decode(encode(error)).__cause__
        assert isinstance(cause, RecordedFailure)
        assert cause.message == "gone"

    def test_field_that_was_added_with_a_default_gets_it(self) -> None:
        allow(make_dataclass("Grown", [("a", int)]))
        data = encode(find_allowed("types:Grown")(1))
        allow(make_dataclass("Grown", [("a", int), ("b", int, 5), ("c", list, field(default_factory=list))]))
        assert (decode(data).b, decode(data).c) == (5, [])

    def test_field_that_was_added_without_a_default_is_told(self) -> None:
        allow(make_dataclass("Sold", [("a", int)]))
        data = encode(find_allowed("types:Sold")(1))
        allow(make_dataclass("Sold", [("a", int), ("b", int)]))
        with pytest.raises(UnreadableRecord, match="'b' now that was not recorded; give it a default"):
            decode(data)

    def test_class_that_became_another_kind_is_told(self) -> None:
        allow(make_dataclass("Turned", [("a", int)]))
        data = encode(find_allowed("types:Turned")(1))
        allow(Enum("Turned", ["A"], module="types"))
        with pytest.raises(UnreadableRecord, match="recorded as a dataclass or attrs class and is now of another kind"):
            decode(data)

    def test_item_of_the_store_comes_back(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        item = Item(value={"a": 1}, key="k", namespace=("m", "1"), created_at=now, updated_at=now)
        back = decode(encode([item]))[0]
        assert (type(back), back.value, back.namespace, back.created_at) == (Item, {"a": 1}, ("m", "1"), now)


class TestNumpy:
    @pytest.mark.parametrize(
        "array",
        [
            numpy.arange(6.0).reshape(2, 3),
            numpy.zeros((0, 3), dtype="int16"),
            numpy.array(5, dtype=">i4"),
            numpy.array([[True, False]]),
            numpy.array(["ab", "c"]),
            numpy.array([b"x"]),
            numpy.array(["2024-01-01"], dtype="datetime64[ns]"),
            numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
            numpy.array([1 + 2j]),
        ],
        ids=lambda array: f"{array.dtype}-{array.shape}",
    )
    def test_array_comes_back_and_can_be_written_to(self, array: Any) -> None:
        back = decode(encode({"a": array}))["a"]
        assert (back.dtype, back.shape, type(back)) == (array.dtype, array.shape, numpy.ndarray)
        assert numpy.array_equal(back, array)
        assert back.flags.writeable

    @pytest.mark.parametrize(
        "number",
        [numpy.float64(1.5), numpy.int32(-4), numpy.bool_(True), numpy.str_("x"), numpy.str_(""),
         numpy.datetime64("2024-01-01"), numpy.complex64(1j)],
        ids=lambda number: type(number).__name__,
    )  # fmt: skip
    def test_scalar_keeps_its_type(self, number: Any) -> None:
        back = decode(encode([number]))[0]
        assert back == number
        assert type(back) is type(number)


class TestLangChain:
    def test_messages_and_documents_come_back(self) -> None:
        pytest.importorskip("langchain_core")
        from langchain_core.documents import Document
        from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

        messages = [
            HumanMessage("hi", id="1"),
            AIMessage("", tool_calls=[{"name": "f", "args": {"x": (1,)}, "id": "c"}]),
            ToolMessage("ok", tool_call_id="c", artifact={"raw": (1, 2)}),
            Document("text", metadata={"page": 1}),
        ]
        back = decode(encode(messages))
        assert back == messages
        assert list(map(type, back)) == list(map(type, messages))
        assert decode(encode(AIMessage("reply").text)) == "reply"

    def test_message_class_that_langchain_loads_when_first_asked_comes_back(self) -> None:
        pytest.importorskip("langchain_core")
        from langchain_core.messages import AIMessage

        script = (
            "import sys; from clew.codec.values import decode; from langchain_core.messages import HumanMessage\n"
            "print(type(decode(sys.stdin.buffer.read())).__name__)"
        )
        data = encode(AIMessage("hi"))
        told = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
        assert told.stdout.strip() == b"AIMessage"

    def test_reading_without_langchain_says_what_to_import(self, tmp_path: Path) -> None:
        pytest.importorskip("langchain_core")
        from langchain_core.messages import HumanMessage

        record = tmp_path / "record"
        record.write_bytes(encode(HumanMessage("hi")))
        script = (
            "import sys; from clew.codec.values import decode; from clew.errors import UnreadableRecord\n"
            f"data = open({str(record)!r}, 'rb').read()\n"
            "try: decode(data)\nexcept UnreadableRecord as error: print(error)\n"
            "assert 'langchain_core' not in sys.modules\n"
            "import langchain_core.messages; print(decode(data).content)\n"
        )
        told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert "import langchain_core.messages" in told
        assert told.endswith("hi\n")


def test_script_and_importer_agree_on_the_name_of_a_class(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import dataclasses, sys\nfrom clew.codec.allowed import allow\nfrom clew.codec.values import encode\n"
        "@dataclasses.dataclass\nclass Sale:\n    price: int\n"
        "allow(Sale)\n"
        "if __name__ == '__main__':\n    sys.stdout.buffer.write(encode(Sale(5)))\n"
    )
    data = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, check=True).stdout
    read = "import sys, shop; from clew.codec.values import decode; print(decode(sys.stdin.buffer.read()))"
    told = subprocess.run([sys.executable, "-c", read], cwd=tmp_path, input=data, capture_output=True, check=True)
    assert told.stdout.strip() == b"Sale(price=5)"


def test_import_of_the_codec_brings_no_large_package() -> None:
    script = (
        "import sys, clew.codec.values, clew.codec.failures, clew.codec.fingerprint\n"
        "print([name for name in ('numpy', 'pydantic', 'attr', 'langchain_core') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"
