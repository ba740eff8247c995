"""Matmuls of a few rows with a matrix that is kept, for one thread: what a decoding step is made of.

A library has to bring each matrix into the order of its loops in every call, and is called for each matrix. Here a
matrix is packed once, in panels of 32 outputs that are read from beginning to end, and the call is a part of the kernel
that needs it. The inner loop keeps 8 rows of x by 32 outputs in registers: 16 sums of 16 floats, of the 32 registers
that AVX-512 has. Elsewhere it is 2 rows.

Suffixes: F outputs, K inputs, N rows, P panels.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numpy.typing import NDArray

from groundup.kernels.compilation import fast_helper, instruction

PANEL = 32
LANES = 16
UNROLLED = 4  # inputs per turn of the inner loop
AHEAD = 2048  # weights that are asked for before they are needed: a matrix may be far from the processor
WIDE = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))

Panels = Any
"""Float32 or int8, [P, K, PANEL]; a matrix's rows are outputs, the last panel is filled with zeros."""

_I32, _I64, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)


def packed(matrix_FK: NDArray) -> NDArray:
    """A matrix in panels, [P, K, PANEL], of its own type."""
    F, K = matrix_FK.shape
    panels, depth = -(-F // PANEL), -(-K // UNROLLED) * UNROLLED
    padded = np.zeros((panels * PANEL, depth), dtype=matrix_FK.dtype)
    padded[:F, :K] = matrix_FK
    return np.ascontiguousarray(padded.reshape(panels, PANEL, depth).transpose(0, 2, 1))


def padded_columns(outputs: int) -> int:
    """How many columns an array needs room for, to be the result of a matmul or what is multiplied."""
    return -(-outputs // PANEL) * PANEL


@fast_helper
def multiply(panels: Panels, x: NDArray[np.float32], N: int, out: NDArray[np.float32]) -> None:
    """`out[n, i] = sum_k W[i, k] x[n, k]` of the first N rows.

    Args:
        x: [N, at least K as it is in the panels]; what it has beyond the matrix's inputs is finite.
        out: [N, at least P x PANEL]; also its columns of padding are written.
    """
    P, K, _ = panels.shape
    for p in range(P):
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


def _tile(rows: int) -> Any:
    """The instruction that multiplies so many rows of x with a panel."""

    def tile(typing_context: Any, panels: Any, panel: Any, inputs: Any, x: Any, row: Any, out: Any) -> Any:
        integers = panels.dtype == types.int8

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
            kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")  # type: ignore[no-untyped-call]
            ahead = builder.gep(line, [_I64(AHEAD)])
            sums = [list(row) for row in begun]
            for step in range(UNROLLED):
                ws = [
                    _loaded(builder, builder.gep(line, [_I64(step * PANEL + v * LANES)]), integers)
                    for v in range(vectors)
                ]
                for at in range(0, PANEL, 64 if integers else 16):
                    _prefetch(builder, builder.gep(ahead, [_I64(step * PANEL + at)]))
                for r in range(rows):
                    one = builder.load(builder.gep(x_rows[r], [builder.add(k, _I64(step))]), align=4)
                    many = _broadcast(builder, one)
                    for v in range(vectors):
                        sums[r][v] = builder.call(fma, [many, ws[v], sums[r][v]])
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


def _loaded(builder: Any, address: Any, integers: bool) -> Any:
    """LANES weights as float32."""
    kind = ir.VectorType(ir.IntType(8), LANES) if integers else _VECTOR
    values = builder.load(builder.bitcast(address, kind.as_pointer()), align=1 if integers else 4)
    return builder.sitofp(builder.sext(values, ir.VectorType(_I32, LANES)), _VECTOR) if integers else values


def _prefetch(builder: Any, address: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")  # type: ignore[no-untyped-call]
    builder.call(function, [builder.bitcast(address, byte), _I32(0), _I32(2), _I32(1)])


def _broadcast(builder: Any, value: Any) -> Any:
    """A vector of one float."""
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


_tile1, _tile2, _tile4, _tile8 = map(_tile, (1, 2, 4, 8))
