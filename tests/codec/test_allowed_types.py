"""Which types may come back: those that the application's own code names, and those it passed on purpose."""

from __future__ import annotations

import dataclasses
import enum
import functools
import gc
import timeit
import types
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NewType, TypedDict, TypeVar

import pydantic
import pytest

from clew.codec.allowed import allow, find, is_allowed, name_of
from clew.codec.declared import allow_named_by
from clew.codec.named import types_named_by
from clew.codec.values import decode, encode
from clew.errors import NotRecordable, UsageError
from codec import recordable_types as app

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]

T = TypeVar("T")
Sku = NewType("Sku", "Article")  # type: ignore[type-arg, misc]


@dataclasses.dataclass
class Article:
    name: str


@dataclasses.dataclass
class Shelf(Generic[T]):
    content: list[Annotated[Crate, "a note"]]
    label: "Label | None" = None  # noqa: UP037


@dataclasses.dataclass
class Crate:
    size: Size


class Size(enum.Enum):
    SMALL = 1


@dataclasses.dataclass
class Label:
    text: str


class Page(pydantic.BaseModel, Generic[T]):
    content: T


class Basket(TypedDict):
    articles: list[Article]


class PaymentError(Exception):
    pass


class CardError(PaymentError):
    pass


def refuse() -> None:
    raise CardError


class Desk:
    unit: str = "box"

    def serve(self) -> None:
        raise LateError

    @property
    def trap(self) -> Any:
        raise AssertionError("a property was read")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was read")


class LateError(Exception):
    pass


desk = Desk()
some_articles = [Article("a")]


class TestAnnotations:
    def test_types_are_found_in_every_form_of_annotation(self) -> None:
        def function(
            a: list[Article | None], b: Annotated[Label, 1], *args: type[Size], c: Literal[Size.SMALL] = Size.SMALL,
            **kwargs: dict[str, tuple[Crate, ...]],
        ) -> Shelf[int]: ...  # fmt: skip

        assert types_named_by(function) >= {Article, Label, Size, Crate, Shelf}

    def test_new_types_and_type_variables_are_followed(self) -> None:
        bound = TypeVar("bound", bound=Label)

        def function(a: bound, b: Sku) -> None: ...

        function.__annotations__ = {"a": bound, "b": NewType("Sku", Article)}
        assert types_named_by(function) >= {Label, Article}

    def test_annotation_that_cannot_be_resolved_is_passed_over(self) -> None:
        def function(a: Missing, b: nonsense.of[any.kind], c: Article) -> "not even ( python": ...  # type: ignore # noqa

        assert Article in types_named_by(function)

    def test_local_class_is_found_in_the_closure_or_in_the_given_names(self) -> None:
        @dataclasses.dataclass
        class Local:
            a: int

        def closes_over_it() -> Any:
            return Local(1)

        def annotated(a: Local) -> None: ...

        assert Local in types_named_by(closes_over_it)
        assert Local in types_named_by(annotated, {"Local": Local, "large": bytearray(9)})

    def test_fields_are_followed_to_the_types_they_name(self) -> None:
        def function() -> Shelf[int]: ...

        allow_named_by(function)
        assert all(map(is_allowed, (Shelf, Crate, Size, Label)))

    def test_generic_model_is_found_with_its_arguments(self) -> None:
        def function() -> list[Page[int]] | Page[Article]: ...

        allow_named_by(function)
        page = Page[Article](content=Article("a"))
        assert decode(encode(page)) == page
        assert type(decode(encode(Page[int](content=1)))) is Page[int]

    def test_fields_of_a_typed_dict_are_followed(self) -> None:
        def function() -> Basket: ...

        allow_named_by(function)
        assert decode(encode({"articles": [Article("a")]})) == {"articles": [Article("a")]}


class TestCode:
    def test_classes_that_the_code_refers_to_are_found(self) -> None:
        def function() -> Any:
            return [(lambda: Article("x"))() for _ in range(3)]

        assert Article in types_named_by(function)

    def test_classes_are_found_through_modules_and_classes(self) -> None:
        def function() -> Any:
            return app.Parcel(1)

        assert app.Parcel in types_named_by(function)

    def test_types_of_instances_and_of_elements_are_found(self) -> None:
        local = {"key": Label("x")}

        def function() -> Any:
            return some_articles, local

        assert types_named_by(function) >= {Article, Label}

    def test_exceptions_of_functions_and_objects_that_the_code_uses_are_found(self) -> None:
        def function() -> None:
            refuse()
            desk.serve()

        assert types_named_by(function) >= {CardError, LateError}

    def test_no_attribute_of_an_instance_is_read(self) -> None:
        def function() -> Any:
            return desk.trap

        types_named_by(function)

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda f: functools.partial(f, 1),
            lambda f: types.MethodType(f, 1),
            lambda f: functools.wraps(f)(lambda *a: f(*a)),
            lambda f: _Callable(f),
        ],
    )
    def test_function_is_found_behind_its_wrapping(self, wrap: Any) -> None:
        def function(a: Article) -> None: ...

        assert Article in types_named_by(wrap(function))

    @pytest.mark.parametrize("thing", [len, print, int, None, 5, object(), functools.partial(len)])
    def test_what_has_no_code_names_nothing_and_does_not_fail(self, thing: Any) -> None:
        types_named_by(thing)
        allow_named_by(thing)


class _Callable:
    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, a: Article) -> None: ...


class TestRegistry:
    def test_class_declared_after_the_function_is_found(self) -> None:
        module = types.ModuleType("later_module")
        exec("def make():\n    return Later()\n", vars(module))
        allow_named_by(module.make)
        exec("class Later(dict):\n    pass\n", vars(module))
        assert type(decode(encode(module.make()))) is module.Later

    def test_class_declared_anew_takes_the_place_of_the_old_one(self) -> None:
        def declare() -> Any:
            @dataclasses.dataclass
            class Again:
                a: int

            allow(Again)
            return Again

        first, second = declare(), declare()
        assert type(decode(encode(first(1)))) is second

    def test_dataclass_with_slots_is_found_and_not_its_first_version(self) -> None:
        def function() -> Any:
            return app.Line("x")

        allow_named_by(function)
        assert find(name_of(app.Line)) is app.Line

    def test_exception_below_an_allowed_one_is_allowed(self) -> None:
        class Below(PaymentError):
            pass

        def function() -> None:
            raise PaymentError

        allow_named_by(function)
        assert is_allowed(Below)

    def test_function_and_its_locals_are_not_kept_alive(self) -> None:
        class Large:
            pass

        def declare() -> weakref.ref[Large]:
            large = Large()

            def function(a: Article) -> Any:
                return large

            allow_named_by(function, {"Article": Article, "large": large})
            assert is_allowed(Article)
            return weakref.ref(large)

        alive = declare()
        gc.collect()
        assert alive() is None

    def test_type_that_nothing_names_is_not_allowed(self) -> None:
        assert not is_allowed(app.Stranger)
        with pytest.raises(NotRecordable):
            encode(app.Stranger())

    def test_allow_takes_annotations(self) -> None:
        @dataclasses.dataclass
        class Inside:
            a: int

        allow(list[Inside] | None)
        assert is_allowed(Inside)

    @pytest.mark.parametrize("thing", [app.Stranger, object, "text", 5])
    def test_allow_refuses_what_cannot_be_recorded(self, thing: Any) -> None:
        with pytest.raises(UsageError):
            allow(thing)

    def test_who_names_the_class_of_all_exceptions_allows_none_in_particular(self) -> None:
        class Fault(Exception):
            pass

        def function() -> None:
            try:
                raise Exception
            except BaseException:
                pass

        allow_named_by(function)
        allow(Exception)
        assert not is_allowed(Fault)

    def test_allow_takes_types_that_need_no_permission(self) -> None:
        allow(int, dict, OrderedDict, Basket)

    def test_declaring_costs_next_to_nothing(self) -> None:
        def function(a: Article) -> Shelf[int]: ...

        seconds = min(timeit.repeat(lambda: allow_named_by(function), number=100, repeat=5)) / 100
        assert seconds < 50e-6
