"""Vector registers for numba: what sums of products need, of floats and of small integers.

LLVM makes vectors of plain loops, but it multiplies bytes as numbers of 32 bits, adds the lanes of
every sum one by one, and never fetches ahead what memory is slow to give.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

_FLOAT, _BYTE, _SHORT, _INT = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32)


def _emitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's `intrinsic`: of the types of its arguments, the type and the code of a call."""
    return cast(Callable[..., Any], intrinsic(function))


class Vector(types.Type):  # type: ignore[misc]
    """A register as numba sees it."""

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
    """How many numbers of an array a register holds; a constant, so that loops are unrolled."""
    count = 8 if array.dtype == types.float32 else 16
    return types.int64(array), lambda *_: ir.Constant(ir.IntType(64), count)


@_emitted
def load(_: Any, array: Any, index: Any) -> Any:
    """What an array holds from a flat index on: 8 floats, or 16 shorts, also of bytes."""
    kind = FLOATS if array.dtype == types.float32 else SHORTS
    stored = _BYTE if array.dtype == types.int8 else kind.register.element

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        register = ir.VectorType(stored, kind.register.count).as_pointer()
        value = builder.load(builder.bitcast(place, register), align=1)
        return value if stored == kind.register.element else builder.sext(value, kind.register)

    return kind(array, index), code


@_emitted
def prefetch(_: Any, array: Any, index: Any) -> Any:
    """Begin to read what stands at a flat index, which may lie behind the array's end."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        options = [ir.Constant(_INT, value) for value in (0, 3, 1)]  # read, keep close, data
        place = builder.bitcast(place, _BYTE.as_pointer())
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [place, *options])
        return context.get_dummy_value()

    return types.void(array, index), code


@_emitted
def zero(_: Any, array: Any) -> Any:
    """No products yet of what such arrays hold."""
    kind = FLOATS if array.dtype == types.float32 else SUMS
    return kind(array), lambda *_: ir.Constant(kind.register, None)


@_emitted
def add_products(_: Any, total: Any, a: Any, b: Any) -> Any:
    """Add the products of two registers: each of floats, or of neighbouring shorts two by two."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, one, other = arguments
        if total == FLOATS:
            return _call(builder, "llvm.fma.v8f32", sums.type, [one, other, sums])
        wide = ir.VectorType(_INT, 16)
        products = builder.mul(builder.sext(one, wide), builder.sext(other, wide))
        even, odd = (_pick(builder, products, products, range(i, 16, 2)) for i in (0, 1))
        return builder.add(sums, builder.add(even, odd))

    return total(total, a, b), code


@_emitted
def add_totals(_: Any, array: Any, index: Any, registers: Any) -> Any:
    """Add the sums of the lanes of 8 registers to the 8 numbers from a flat index on."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left = cgutils.unpack_tuple(builder, arguments[2])
        add = builder.fadd if array.dtype == types.float32 else builder.add
        for step in (1, 2, 4):  # two registers share one from here on: `step` tells whose a lane is
            own = [lane + 8 * bool(lane & step) for lane in range(8)]
            pairs = zip(left[::2], left[1::2], strict=True)
            left = [
                add(_pick(builder, a, b, own), _pick(builder, a, b, [lane ^ step for lane in own]))
                for a, b in pairs
            ]
        place = _place(context, builder, signature, arguments)
        place = builder.bitcast(place, left[0].type.as_pointer())
        builder.store(add(builder.load(place, align=1), left[0]), place, align=1)
        return context.get_dummy_value()

    return types.void(array, index, registers), code


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


def _pick(builder: Any, a: Any, b: Any, lanes: Iterable[int]) -> Any:
    """A register of lanes of two others, those of the second counted on."""
    chosen = [ir.Constant(_INT, lane) for lane in lanes]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, len(chosen)), chosen))


def _call(builder: Any, name: str, result: ir.Type, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
