"""Schema of the configuration: types and ranges of all keys, checked before anything is built.

A node with a ``_target_`` has the keys that its callable takes, with the types of their
annotations; the keys of a command itself stand in a ``TypedDict`` beside it. A range is part of a
type: ``Annotated[int, Interval(ge=1)]``, see :mod:`notagen.ranges`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MinLen, MultipleOf
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig
from omegaconf.base import Container, Node
from omegaconf.errors import InterpolationResolutionError

from notagen.errors import UserError
from notagen.exits import sentence
from notagen.ranges import LARGEST, Object, Pattern

_OBJECT: Final = Object()  # stands for what such a node will make
_LABEL: Final = "name"  # a key for people, in nodes whose callable may take none
_KINDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "null",
    Object: "an object, with a _target_",
}
_LISTS: Final = (list, tuple, set, frozenset, Sequence, Collection, Iterable)
_MAPPINGS: Final = (dict, Mapping)


def check(config: DictConfig, keys: Any) -> None:
    """Check a composed configuration; whole numbers that are given as text's value become text.

    Args:
        config: of a command.
        keys: a TypedDict with the types of the command's own keys.

    Raises:
        UserError: values are not what they must be, or keys are unknown: a line for each.
        MissingMandatoryValue: a key of the command must be given.
    """
    own = list(_own_faults(config, keys))
    right = {fault.place for fault in own if not fault.reason}
    faults: dict[str, str] = {}
    for fault in (*own, *_target_faults(config)):
        if fault.reason and not (fault.is_null and fault.source in right):  # to be filled in
            key = fault.place if fault.source in right else fault.source
            faults.setdefault(key, f"{key} {fault.reason}")
    if faults:
        raise UserError("\nnotagen: ".join(faults.values()))


class Fault(NamedTuple):
    """A key whose value is not of its type, or is.

    Attributes:
        place: the key.
        source: the key that its interpolation points to; else the same.
        reason: what it must be; empty if it is.
        is_null: whether its value is null.
    """

    place: str
    source: str
    reason: str = ""
    is_null: bool = False


def _own_faults(config: DictConfig, keys: Any) -> Iterator[Fault]:
    """Each key that a TypedDict, or those in it, has a type for."""
    for name, hint in get_type_hints(keys, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        if optional:
            [hint] = get_args(hint)
        if name in config.keys():  # noqa: SIM118, what must be given is not `in` it
            try:
                yield from _faults(config, name, hint)
            except InterpolationResolutionError as error:
                yield _unresolved(config, name, error)
        elif not optional:
            place = str(config._get_full_key(name))
            yield Fault(place, place, f"is missing; it must be {described(hint)}")


def _faults(config: DictConfig, name: str, hint: Any) -> Iterator[Fault]:
    node = _resolved(config, name)
    if isinstance(node, DictConfig) and not node._is_none():
        for part in get_args(hint) or [hint]:
            if is_typeddict(part):
                yield from _own_faults(node, part)
                return
        if get_origin(hint) is Mapping:
            for each in node:
                yield from _faults(node, str(each), get_args(hint)[1])
            return
    if node._is_missing():
        config[name]  # raises MissingMandatoryValue
    yield _judged(config, name, hint)


def _target_faults(node: DictConfig | ListConfig) -> Iterator[Fault]:
    """Each argument of each ``_target_`` in a configuration."""
    if node._is_none() or node._is_missing() or node._is_interpolation():
        return
    if isinstance(node, DictConfig) and "_target_" in node:
        yield from _argument_faults(node)
    for name in list(node.keys()) if isinstance(node, DictConfig) else range(len(node)):
        child: Any = node._get_node(name)  # type: ignore[arg-type]
        if isinstance(child, DictConfig | ListConfig):
            yield from _target_faults(child)


def _argument_faults(node: DictConfig) -> Iterator[Fault]:
    try:
        target = get_object(node._target_)
        hints = arguments(target)
    except (HydraException, ImportError, ValueError, TypeError) as error:
        place = str(node._get_full_key("_target_"))
        yield Fault(place, place, f"must be the name of a class or function: {error}")
        return
    if hints is None:
        return
    for name in map(str, node):
        if name.startswith("_"):
            continue
        if name in hints:
            try:
                if not _resolved(node, name)._is_missing():
                    yield _judged(node, name, hints[name])
            except InterpolationResolutionError as error:
                yield _unresolved(node, name, error)
        elif name != _LABEL and "**" not in hints:
            place = str(node._get_full_key(name))
            yield Fault(place, place, f"is no argument of {node._target_}; {', '.join(hints)} are")


def _unresolved(parent: DictConfig, name: str, error: Exception) -> Fault:
    """A key whose interpolation points to nothing."""
    place = str(parent._get_full_key(name))
    return Fault(place, place, f"cannot be told: {sentence(error)}")


def _judged(parent: DictConfig, name: str, hint: Any) -> Fault:
    """A key set beside its type."""
    node = _resolved(parent, name)
    place, value = str(parent._get_full_key(name)), _plain(node)
    holder = node._get_parent()
    source = str(holder._get_full_key(node._key())) if isinstance(holder, Container) else place
    if fits(value, hint):
        return Fault(place, source)
    if type(value) is int and int not in _members(hint) and fits(str(value), hint):
        node._set_value(str(value))
        return Fault(place, source)
    reason = f"must be {described(hint, value)}, not {_shown(value)}"
    return Fault(place, source, reason, value is None)


def arguments(target: Any) -> dict[str, Any] | None:
    """Annotations of a callable's arguments by name; None where it does not tell its arguments.

    Any stands for an annotation that is not there, or that type checkers alone can resolve;
    ``**arguments`` stand under ``"**"``.
    """
    try:
        parameters = inspect.signature(target, eval_str=True).parameters.values()
    except NameError:  # a name that is imported for type checkers alone
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # a class of C has no signature
        return None
    return {
        "**" if parameter.kind is parameter.VAR_KEYWORD else parameter.name: (
            Any
            if parameter.annotation is parameter.empty or isinstance(parameter.annotation, str)
            else parameter.annotation
        )
        for parameter in parameters
    }


def _resolved(parent: DictConfig | ListConfig, name: Any) -> Node:
    """The node of a key, or the one that its interpolation points to."""
    node = parent._get_node(name)
    assert isinstance(node, Node)
    found = node._maybe_dereference_node(throw_on_resolution_failure=True)
    assert found is not None
    return found


def _plain(node: Node) -> Any:
    """The value of a node, as lists and dictionaries; what has a ``_target_`` as an Object."""
    if isinstance(node, DictConfig | ListConfig) and not (node._is_none() or node._is_missing()):
        if isinstance(node, ListConfig):
            return [_plain(_resolved(node, index)) for index in range(len(node))]
        if "_target_" in node:
            return _OBJECT
        return {name: _plain(_resolved(node, name)) for name in node}
    return node._value()


def fits(value: Any, hint: Any) -> bool:
    """True if a value as YAML has it, or an Object, is of a type.

    ``true`` is no number, 1 is a float, infinity is not, a list is any sequence, and of a class
    that YAML does not know only an Object can be.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Annotated:
        return fits(value, parts[0]) and all(_in_range(value, part) for part in _bounds(hint))
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    kind = origin or hint
    if not isinstance(kind, type) or kind in (Any, object):
        return True  # Any, a type variable, a name that only type checkers know
    if value is _OBJECT:
        return kind not in _KINDS or kind is Object
    if kind is float:
        return type(value) in (int, float) and abs(value) < 1e300  # not so: infinity, nan
    if kind is int:
        return type(value) is int and abs(value) < 2**63
    if kind is Path:
        return isinstance(value, str)
    if kind in _KINDS:
        return isinstance(value, kind)
    if kind is tuple and parts and parts[-1] is not ...:
        return (
            isinstance(value, list)
            and len(value) == len(parts)
            and all(fits(item, part) for item, part in zip(value, parts, strict=True))
        )
    if kind in _LISTS:
        return isinstance(value, list) and all(
            fits(item, part) for item in value for part in parts[:1]
        )
    if kind in _MAPPINGS:
        return isinstance(value, dict) and all(
            fits(item, part) for item in value.values() for part in parts[1:]
        )
    return False


def _members(hint: Any) -> list[Any]:
    """The types of a union."""
    if get_origin(hint) in (Union, UnionType):
        return [member for part in get_args(hint) for member in _members(part)]
    return [get_args(hint)[0]] if get_origin(hint) is Annotated else [hint]


def _bounds(hint: Any) -> list[Any]:
    """The single bounds of an annotated type."""
    return [
        bound
        for part in get_args(hint)[1:]
        for bound in (part if isinstance(part, GroupedMetadata) else [part])
    ]


def _in_range(value: Any, bound: Any) -> bool:
    match bound:
        case Ge(least):
            return bool(value >= least)
        case Gt(below):
            return bool(value > below)
        case Le(most):
            return bool(value <= most)
        case Lt(above):
            return bool(value < above)
        case MultipleOf(divisor):
            return bool(value % divisor == 0)
        case MinLen(least):
            return len(value) >= least
        case Pattern(expression):
            return re.fullmatch(expression, value) is not None
    return True


def described(hint: Any, value: Any = None) -> str:
    """A type in words: ``a whole number from 1 on or null``.

    Args:
        hint: the type.
        value: one that does not fit; the largest number there is is named to one beyond it.
    """
    *others, last = dict.fromkeys(_alternatives(hint, value))
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(hint: Any, value: Any) -> list[str]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [words for part in parts for words in _alternatives(part, value)]
    if origin is Literal:
        return [_shown(part) for part in parts]
    return ["true", "false"] if hint is bool else [_described(hint, value)]


def _described(hint: Any, value: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return described(parts[0]) + _described_bounds(_bounds(hint), value)
    kind = origin or hint
    if kind in _KINDS:
        return _KINDS[kind]
    if kind is tuple and parts and parts[-1] is not ...:
        return f"a list of {len(parts)}: {', '.join(map(described, parts))}"
    if kind in _LISTS:
        return "a list" + (f" of {described(parts[0])}" if parts else "")
    if kind in _MAPPINGS or is_typeddict(kind):
        return "keys with values"
    return f"an object ({getattr(kind, '__name__', kind)})"


def _described_bounds(bounds: list[Any], value: Any) -> str:
    words = ""
    for bound in bounds:
        match bound:
            case Ge(least):
                words += f" from {least}"
            case Gt(below):
                words += f" above {below}"
            case Le(int() | float() as most) if most < LARGEST or (
                type(value) is int and value > most
            ):
                words += f" to {most}"
            case Lt(above):
                words += f" and below {above}"
            case MultipleOf(divisor):
                words += f", a multiple of {divisor}"
            case Pattern():
                words += f" as {bound.words}"
            case MinLen() if isinstance(value, list):
                words += " that is not empty"
    return f"{words} on" if re.fullmatch(r" from \S+", words) else words


def _shown(value: Any) -> str:
    """A value as one writes it, shortened."""
    if isinstance(value, str):
        return _shortened(value) if value else "empty"
    return _shortened(json.dumps(value, default=lambda _: "an object"))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
