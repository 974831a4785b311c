"""librsb (recursive sparse blocks), behind the interface of peer_libraries.py.

It stores a matrix as it likes and tunes that for the product that follows (`rsb_tune_spmm`), which is its own advice;
`prepare` lets it. Numbers of types and flags are those of `rsb.h` and `rsb_types.h`, version 1.3.
"""

import ctypes
import functools
from ctypes import byref, c_char, c_double, c_float, c_int, c_void_p

import numpy as np
from peer_libraries import at, empty, library, place

TYPES = {"f32": (b"S", c_float), "f64": (b"D", c_double)}
PLAIN = c_int(ord("N"))
# `enum rsb_opt_t`: RSB_IO_WANT_EXECUTING_THREADS.
EXECUTING_THREADS = 9
ROW_MAJOR = c_int(0)
# RSB_FLAG_DEFAULT_RSB_MATRIX_FLAGS: quad partitioning, indices of 16 bits where they do, COO and CSR leaves.
RECURSIVE = c_int(0x2000 | 0x2 | 0x100 | 0x4000)


class Librsb:
    name = "librsb"
    kernels = {(kernel, dtype) for kernel in ("spmv-csr", "spmm-csr", "spmm-bsr") for dtype in TYPES}

    def __init__(self, threads):
        library("libhwloc.so.15")
        self.lib = library("librsb.so.0")
        self.checked(self.lib.rsb_lib_init(None))
        self.checked(self.lib.rsb_lib_set_opt(EXECUTING_THREADS, byref(c_int(threads))))

    def checked(self, status):
        if status != 0:
            text = ctypes.create_string_buffer(200)
            self.lib.rsb_strerror_r(status, text, 200)
            raise RuntimeError(f"librsb: {text.value.decode()}")

    def prepare(self, case, arrays):
        letter, real = TYPES[case.dtype]
        starts, columns = (arrays[name].astype(np.int32) for name in ("row_ptr", "columns"))
        values = arrays["blocks" if case.kernel == "spmm-bsr" else "values"]
        if case.kernel == "spmm-bsr":
            starts, columns, values = elements(starts, columns, values)
        starts, columns, values = place(starts), place(columns), place(values)
        right = place(arrays["x" if case.kernel == "spmv-csr" else "B"])
        rows, n = len(starts) - 1, 1 if right.ndim == 1 else right.shape[1]
        out = empty((rows,) if right.ndim == 1 else (rows, n), values.dtype)
        status, self.lib.rsb_mtx_alloc_from_csr_const.restype = c_int(), c_void_p
        matrix = c_void_p(
            self.lib.rsb_mtx_alloc_from_csr_const(
                at(values), at(starts), at(columns), c_int(len(values)), c_char(letter), c_int(rows),
                c_int(right.shape[0]), c_int(1), c_int(1), RECURSIVE, byref(status),
            )  # fmt: skip
        )
        self.checked(status.value)
        one, zero = real(1), real(0)
        operands = (at(right), c_int(n), byref(zero), at(out), c_int(n))
        self.checked(
            self.lib.rsb_tune_spmm(
                byref(matrix), None, None, c_int(0), c_double(2), PLAIN, byref(one), None, c_int(n), ROW_MAJOR, *operands
            )
        )
        if right.ndim == 1:
            call = functools.partial(
                self.lib.rsb_spmv, PLAIN, byref(one), matrix, at(right), c_int(1), byref(zero), at(out), c_int(1)
            )
        else:
            call = functools.partial(self.lib.rsb_spmm, PLAIN, byref(one), matrix, c_int(n), ROW_MAJOR, *operands)
        call.keep = (right, one, zero)
        self.checked(call())
        return call, lambda: out


def elements(starts, columns, blocks):
    """Blocks, each stored column by column, as single elements in CSR: librsb has no blocks of a caller's size."""
    side, counts = blocks.shape[1], np.diff(starts)
    # A row of elements holds one row of each of its blocks, in their order.
    own = [slice(a, b) for a, b in zip(starts, starts[1:])]
    at_columns = [np.tile((columns[s, None] * side + np.arange(side)).reshape(-1), side) for s in own]
    at_values = [blocks[s].transpose(2, 0, 1).reshape(-1) for s in own]
    ends = np.cumsum(np.repeat(counts * side, side))
    return (
        np.concatenate([[0], ends]).astype(np.int32),
        np.concatenate(at_columns).astype(np.int32),
        np.concatenate(at_values),
    )
