"""Vector registers for numba: dot products of float32, and of int8 with int16.

LLVM vectorizes plain loops, but it multiplies int8 as int32, adds the lanes of every sum one by
one, and never prefetches.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

_FLOAT, _BYTE, _SHORT, _INT = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32)


def _emitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare a numba intrinsic: argument types -> (signature, function that emits LLVM code)."""
    return cast(Callable[..., Any], intrinsic(function))


class Vector(types.Type):  # type: ignore[misc]
    """numba type of a vector register."""

    def __init__(self, name: str, element: ir.Type, lanes: int) -> None:
        self.register = ir.VectorType(element, lanes)
        super().__init__(name)


@register_model(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.register)


FLOATS = Vector("8 floats", _FLOAT, 8)
SHORTS = Vector("16 shorts", _SHORT, 16)
SUMS = Vector("8 sums of products of shorts", _INT, 8)


@_emitted
def lanes(_: Any, array: Any) -> Any:
    """Number of an array's elements in a register, a constant, so that loops are unrolled."""
    count = 8 if array.dtype == types.float32 else 16
    return types.int64(array), lambda *_: ir.Constant(ir.IntType(64), count)


@_emitted
def load(_: Any, array: Any, index: Any) -> Any:
    """Load 8 floats, or 16 int16 or int8 as int16, from a flat index of an array on."""
    kind = FLOATS if array.dtype == types.float32 else SHORTS
    stored = _BYTE if array.dtype == types.int8 else kind.register.element

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        register = ir.VectorType(stored, kind.register.count).as_pointer()
        value = builder.load(builder.bitcast(address, register), align=1)
        return value if stored == kind.register.element else builder.sext(value, kind.register)

    return kind(array, index), code


@_emitted
def prefetch(_: Any, array: Any, index: Any) -> Any:
    """Prefetch a flat index of an array, which may lie after its end."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        options = [ir.Constant(_INT, value) for value in (0, 3, 1)]  # read, keep close, data
        address = builder.bitcast(address, _BYTE.as_pointer())
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [address, *options])
        return context.get_dummy_value()

    return types.void(array, index), code


@_emitted
def zero(_: Any, array: Any) -> Any:
    """Make a register of zeros for the sums of products of such an array's elements."""
    kind = FLOATS if array.dtype == types.float32 else SUMS
    return kind(array), lambda *_: ir.Constant(kind.register, None)


@_emitted
def add_products(_: Any, total: Any, a: Any, b: Any) -> Any:
    """Add the products of two registers to a third: 8 float32, or 16 int16 to 8 int32 in pairs."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, one, other = arguments
        if total == FLOATS:
            return _call(builder, "llvm.fma.v8f32", sums.type, [one, other, sums])
        # The pattern that LLVM turns into one instruction, pmaddwd.
        wide = ir.VectorType(_INT, 16)
        products = builder.mul(builder.sext(one, wide), builder.sext(other, wide))
        even, odd = (_pick(builder, products, products, range(i, 16, 2)) for i in (0, 1))
        return builder.add(sums, builder.add(even, odd))

    return total(total, a, b), code


@_emitted
def add_totals(_: Any, array: Any, index: Any, registers: Any) -> Any:
    """Add the sum of each of 8 registers to the 8 elements from a flat index of an array on."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left = cgutils.unpack_tuple(builder, arguments[2])
        add = builder.fadd if array.dtype == types.float32 else builder.add
        # A tree: each step merges two registers into one, 8 -> 4 -> 2 -> 1. Lanes with the bit
        # `step` hold sums of the second of the two, the others of the first.
        for step in (1, 2, 4):
            own = [lane + 8 * bool(lane & step) for lane in range(8)]
            pairs = zip(left[::2], left[1::2], strict=True)
            left = [
                add(_pick(builder, a, b, own), _pick(builder, a, b, [lane ^ step for lane in own]))
                for a, b in pairs
            ]
        address = _address(context, builder, signature, arguments)
        address = builder.bitcast(address, left[0].type.as_pointer())
        builder.store(add(builder.load(address, align=1), left[0]), address, align=1)
        return context.get_dummy_value()

    return types.void(array, index, registers), code


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


def _pick(builder: Any, a: Any, b: Any, lanes: Iterable[int]) -> Any:
    """Shuffle the lanes of two registers into one; lanes of the second count on from the first."""
    chosen = [ir.Constant(_INT, lane) for lane in lanes]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, len(chosen)), chosen))


def _call(builder: Any, name: str, result: ir.Type, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
