"""Matmuls of a few rows with a matrix that is kept, for one thread: what a decoding step is made of.

A library has to bring each matrix into the order of its loops in every call, and is called for each matrix. Here a
matrix is packed once, in panels of 32 outputs that are read from beginning to end, and the call is a part of the kernel
that needs it. The inner loop keeps 8 rows of x by 32 outputs in registers: 16 sums of 16 floats, of the 32 registers
that AVX-512 has. Elsewhere it is 2 rows. Of bfloat16 one instruction (AVX512-BF16) multiplies two inputs and adds both
to a sum of float32: half the memory to read, and twice the multiplications in a cycle.

Suffixes: F outputs, K inputs, N rows, P panels.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numpy.typing import NDArray

from groundup.kernels.compilation import fast_helper, instruction

PANEL = 32
LANES = 16
UNROLLED = 4  # inputs per turn of the inner loop
AHEAD = 2048  # weights that are asked for before they are needed: a matrix may be far from the processor
WIDE = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))
HAS_BFLOAT16 = bool(llvmlite.binding.get_host_cpu_features().get("avx512bf16"))

Panels = Any
"""Float32 or int8, [P, K, PANEL]; or uint32, [P, K / 2, PANEL], each two inputs of bfloat16, the first in the lower
half. A matrix's rows are outputs, the last panel is filled with zeros."""


class _Bfloat16(ir.Type):  # type: ignore[misc]  # the package has no types
    """LLVM's `bfloat`, which llvmlite has no class for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bfloat16)

    def __hash__(self) -> int:
        return hash(_Bfloat16)


_I16, _I32, _I64, _FLOAT = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_PAIRS = ir.VectorType(_Bfloat16(), 2 * LANES)


def packed(matrix_FK: NDArray) -> NDArray:
    """A matrix in panels, of its own type; bfloat16 is given as its bits, in uint16."""
    F, K = matrix_FK.shape
    together = 2 if matrix_FK.dtype == np.uint16 else 1
    panels, depth = -(-F // PANEL), -(-K // (UNROLLED * together)) * UNROLLED
    padded = np.zeros((panels * PANEL, depth * together), dtype=matrix_FK.dtype)
    padded[:F, :K] = matrix_FK
    found = np.ascontiguousarray(padded.reshape(panels, PANEL, depth, together).transpose(0, 2, 1, 3))
    return found.view(np.uint32)[..., 0] if together == 2 else found[..., 0]


def padded_columns(outputs: int) -> int:
    """How many columns an array needs room for, to be the result of a matmul or what is multiplied."""
    return -(-outputs // PANEL) * PANEL


@fast_helper
def multiply(panels: Panels, first: int, last: int, x: Any, N: int, out: NDArray[np.float32]) -> None:
    """`out[n, i] = sum_k W[i, k] x[n, k]` of the first N rows, for the outputs of the panels from first to last.

    Args:
        x: [N, at least K as it is in the panels], what `operand` gives; what it has beyond the matrix's inputs is
            finite.
        out: [N, at least P x PANEL]; also its columns of padding are written.
    """
    K = panels.shape[1]
    for p in range(first, last):
        n = 0
        if WIDE:
            while n + 8 <= N:
                _tile8(panels, p, K, x, n, out)
                n += 8
            if n + 4 <= N:
                _tile4(panels, p, K, x, n, out)
                n += 4
        while n + 2 <= N:
            _tile2(panels, p, K, x, n, out)
            n += 2
        if n < N:
            _tile1(panels, p, K, x, n, out)


@fast_helper
def in_bfloat16(x: NDArray[np.float32], N: int, columns: int, out: NDArray[np.uint32]) -> None:
    """The first columns of N rows, rounded to bfloat16, two in each number of `out`.

    Args:
        x, out: with room for a multiple of LANES columns.
    """
    for n in range(N):
        for k in range(0, columns, LANES):
            _round(x, n, k, out)


@instruction
def _round(typing_context: Any, x: Any, row: Any, column: Any, out: Any) -> Any:
    """LANES numbers of a row."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        x_array, out_array = (context.make_array(kinds[at])(context, builder, arguments[at]) for at in (0, 3))
        row, column = arguments[1:3]
        of_x, of_out = (builder.mul(row, builder.extract_value(array.shape, 1)) for array in (x_array, out_array))
        source = builder.gep(x_array.data, [builder.add(of_x, column)])
        halves = builder.bitcast(builder.gep(out_array.data, [of_out]), _I16.as_pointer())
        target = builder.gep(halves, [column])
        wide = builder.load(builder.bitcast(source, _VECTOR.as_pointer()), align=4)
        narrow = builder.fptrunc(wide, ir.VectorType(_Bfloat16(), LANES))
        bits = ir.VectorType(_I16, LANES)
        builder.store(builder.bitcast(narrow, bits), builder.bitcast(target, bits.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64, out), code


@instruction
def operand(typing_context: Any, panels: Any, x: Any, halves: Any) -> Any:
    """What a matrix is multiplied with: `halves`, x in bfloat16, where the matrix is bfloat16; else x."""
    chosen = 2 if panels.dtype == types.uint32 else 1

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return impl_ret_borrowed(context, builder, signature.return_type, arguments[chosen])  # type: ignore[no-untyped-call]

    return (halves if chosen == 2 else x)(panels, x, halves), code


def _tile(rows: int) -> Any:
    """The instruction that multiplies so many rows of x with a panel."""

    def tile(typing_context: Any, panels: Any, panel: Any, inputs: Any, x: Any, row: Any, out: Any) -> Any:
        integers, pairs = panels.dtype == types.int8, panels.dtype == types.uint32

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            w_array, x_array, out_array = (
                context.make_array(kinds[at])(context, builder, arguments[at]) for at in (0, 3, 5)
            )
            panel, inputs, row = arguments[1], arguments[2], arguments[4]
            vectors = PANEL // LANES
            weights = builder.gep(w_array.data, [builder.mul(builder.mul(panel, inputs), _I64(PANEL))])

            def starts(array: Any) -> Sequence[Any]:
                """The first element of each row."""
                columns = builder.extract_value(array.shape, 1)
                return [builder.gep(array.data, [builder.mul(builder.add(row, _I64(r)), columns)]) for r in range(rows)]

            x_rows, out_rows = starts(x_array), starts(out_array)
            before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("sums")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(_I64)
            k.add_incoming(_I64(0), before)
            begun = [[builder.phi(_VECTOR) for _ in range(vectors)] for _ in range(rows)]
            for total in chain(*begun):
                total.add_incoming(ir.Constant(_VECTOR, [0.0] * LANES), before)
            line = builder.gep(weights, [builder.mul(k, _I64(PANEL))])
            fma = _multiply_add(builder.module, pairs)
            ahead = builder.gep(line, [_I64(AHEAD)])
            sums = [list(row) for row in begun]
            for step in range(UNROLLED):
                ws = [
                    _loaded(builder, builder.gep(line, [_I64(step * PANEL + v * LANES)]), integers, pairs)
                    for v in range(vectors)
                ]
                for at in range(0, PANEL, 64 if integers else 16):
                    _prefetch(builder, builder.gep(ahead, [_I64(step * PANEL + at)]))
                for r in range(rows):
                    one = builder.load(builder.gep(x_rows[r], [builder.add(k, _I64(step))]), align=4)
                    many = _broadcast(builder, one)
                    if pairs:
                        many = builder.bitcast(many, _PAIRS)
                    for v in range(vectors):
                        factors = [sums[r][v], many, ws[v]] if pairs else [many, ws[v], sums[r][v]]
                        sums[r][v] = builder.call(fma, factors)
            for old, new in zip(chain(*begun), chain(*sums), strict=True):
                old.add_incoming(new, loop)
            following = builder.add(k, _I64(UNROLLED))
            k.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, inputs), loop, after)
            builder.position_at_end(after)
            column = builder.mul(panel, _I64(PANEL))
            for r in range(rows):
                for v in range(vectors):
                    address = builder.gep(out_rows[r], [builder.add(column, _I64(v * LANES))])
                    builder.store(sums[r][v], builder.bitcast(address, _VECTOR.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(panels, types.int64, types.int64, x, types.int64, out), code

    return instruction(tile)


def _multiply_add(module: Any, pairs: bool) -> Any:
    """The function a, b, c -> a b + c of vectors; of pairs of bfloat16 c, a, b -> c + a_0 b_0 + a_1 b_1."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR, _PAIRS, _PAIRS] if pairs else [_VECTOR] * 3)
    name = "llvm.x86.avx512bf16.dpbf16ps.512" if pairs else f"llvm.fmuladd.v{LANES}f32"
    return cgutils.get_or_insert_function(module, kind, name)  # type: ignore[no-untyped-call]


def _loaded(builder: Any, address: Any, integers: bool, pairs: bool) -> Any:
    """LANES weights as float32, or LANES pairs of them as they are."""
    if pairs:
        return builder.load(builder.bitcast(address, _PAIRS.as_pointer()), align=4)
    kind = ir.VectorType(ir.IntType(8), LANES) if integers else _VECTOR
    values = builder.load(builder.bitcast(address, kind.as_pointer()), align=1 if integers else 4)
    return builder.sitofp(builder.sext(values, ir.VectorType(_I32, LANES)), _VECTOR) if integers else values


def _prefetch(builder: Any, address: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")  # type: ignore[no-untyped-call]
    builder.call(function, [builder.bitcast(address, byte), _I32(0), _I32(2), _I32(1)])


def _broadcast(builder: Any, value: Any) -> Any:
    """A vector of one number."""
    one = builder.insert_element(ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


_tile1, _tile2, _tile4, _tile8 = map(_tile, (1, 2, 4, 8))
