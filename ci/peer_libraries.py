"""Libraries that compute what our kernels compute, each behind the same small interface.

A peer says in `kernels` what it can compute; `prepare(case, arrays)` returns a function that computes the case once,
and one that hands out the answer. Everything that a library may do beforehand (analysing a sparse matrix, compiling a
graph) happens in `prepare`. Packing dense operands is part of the product for all, as it is for ours.
"""

import ctypes
import functools
import mmap
import sys
from ctypes import byref, c_double, c_float, c_int, c_int64, c_void_p
from pathlib import Path

import numpy as np

REAL = {"f32": c_float, "f64": c_double}


def place(array):
    """A copy of an array, aligned to a page, in huge pages where it is large: as our own operands are."""
    memory = mmap.mmap(-1, max(array.nbytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if array.nbytes >= 4 << 20:
        memory.madvise(mmap.MADV_HUGEPAGE)
    copy = np.frombuffer(memory, dtype=array.dtype, count=array.size).reshape(array.shape)
    copy[...] = array
    return copy


def empty(shape, dtype):
    return place(np.full(shape, np.nan, dtype))


def at(array):
    return c_void_p(array.ctypes.data)


def library(name):
    """A shared library of the environment this Python lives in."""
    found = sorted(Path(sys.prefix).rglob(name))
    if not found:
        raise FileNotFoundError(f"no {name} below {sys.prefix}")
    return ctypes.CDLL(str(found[-1]), mode=ctypes.RTLD_GLOBAL)


def cblas(function, dtype, arrays):
    """C = A·B by any library with the C interface of BLAS, row-major."""
    a, b = place(arrays["A"]), place(arrays["B"])
    (m, k), n = a.shape, b.shape[1]
    c = empty((m, n), a.dtype)
    real = REAL[dtype]
    ints = [c_int(x) for x in (101, 111, 111, m, n, k)]
    function.restype = None
    call = functools.partial(
        function, *ints, real(1), at(a), c_int(k), at(b), c_int(n), real(0), at(c), c_int(n)
    )  # fmt: skip
    call.keep = (a, b)
    return call, lambda: c


class OpenBlas:
    name = "OpenBLAS"
    kernels = {("gemm", "f32"), ("gemm", "f64"), ("spmm-2-4", "f32"), ("spmm-2-4", "f64")}

    def __init__(self, threads):
        self.lib = library("libscipy_openblas.so")
        self.lib.scipy_openblas_set_num_threads(threads)

    def prepare(self, case, arrays):
        letter = {"f32": "s", "f64": "d"}[case.dtype]
        return cblas(getattr(self.lib, f"scipy_cblas_{letter}gemm"), case.dtype, arrays)


class Description(ctypes.Structure):
    """`struct matrix_descr` of MKL: a general matrix."""

    _fields_ = [("type", c_int), ("mode", c_int), ("diag", c_int)]


class Mkl:
    name = "MKL"
    kernels = {
        (kernel, dtype)
        for kernel in ("gemm", "spmm-2-4", "spmv-csr", "spmm-csr", "spmm-bsr")
        for dtype in ("f32", "f64")
    }
    hints = True

    def __init__(self, threads):
        self.lib = library("libmkl_rt.so.*")
        self.lib.MKL_Set_Num_Threads(c_int(threads))

    def checked(self, status):
        if status != 0:
            raise RuntimeError(f"MKL answered with status {status}")

    def prepare(self, case, arrays):
        letter, real = {"f32": ("s", c_float), "f64": ("d", c_double)}[case.dtype]
        if case.kernel in ("gemm", "spmm-2-4"):
            return cblas(getattr(self.lib, f"cblas_{letter}gemm"), case.dtype, arrays)
        starts = place(arrays["row_ptr"].astype(np.int32))
        columns = place(arrays["columns"].astype(np.int32))
        rows = len(starts) - 1
        matrix = c_void_p()
        ends = c_void_p(starts.ctypes.data + 4)
        if case.kernel == "spmm-bsr":
            # Ours are stored column by column; MKL's faster order is row by row, and it gets that.
            values = place(np.ascontiguousarray(arrays["blocks"].transpose(0, 2, 1)))
            side = values.shape[1]
            shape = [c_int(x) for x in (0, 101, rows, arrays["B"].shape[0] // side, side)]
            create = getattr(self.lib, f"mkl_sparse_{letter}_create_bsr")
        else:
            values = place(arrays["values"])
            right = arrays["x" if case.kernel == "spmv-csr" else "B"]
            shape, side = [c_int(x) for x in (0, rows, right.shape[0])], 1
            create = getattr(self.lib, f"mkl_sparse_{letter}_create_csr")
        self.checked(create(byref(matrix), *shape, at(starts), ends, at(columns), at(values)))
        general, plain = Description(20, 0, 0), c_int(10)
        if case.kernel == "spmv-csr":
            right, out = place(arrays["x"]), empty(rows, values.dtype)
            hint, size = self.lib.mkl_sparse_set_mv_hint, ()
            function = getattr(self.lib, f"mkl_sparse_{letter}_mv")
            tail = (at(right), real(0), at(out))
        else:
            right = place(arrays["B"])
            n = c_int(right.shape[1])
            out = empty((rows * side, right.shape[1]), values.dtype)
            hint, size = self.lib.mkl_sparse_set_mm_hint, (c_int(101), n)
            function = getattr(self.lib, f"mkl_sparse_{letter}_mm")
            tail = (c_int(101), at(right), n, n, real(0), at(out), n)
        if self.hints:
            hint(matrix, plain, general, *size, c_int(100000))
            self.lib.mkl_sparse_set_memory_hint(matrix, c_int(51))
            self.lib.mkl_sparse_optimize(matrix)
        call = functools.partial(function, plain, real(1), matrix, general, *tail)
        call.keep = (starts, columns, values, right)
        self.checked(call())
        return call, lambda: out


class MklWithoutHints(Mkl):
    """Where analysing a matrix makes MKL slower (it can), this one counts."""

    name = "MKL, no hints"
    kernels = {k for k in Mkl.kernels if k[0].startswith("sp") and k[0] != "spmm-2-4"}
    hints = False


class Argument(ctypes.Structure):
    """`dnnl_exec_arg_t`."""

    _fields_ = [("arg", c_int), ("memory", c_void_p)]


# Element types of operands and product by `dnnl_data_type_t`, and operands in them: ours come in single precision,
# which holds both.
SHORT = {
    "f32": (3, 3, lambda x: x, np.float32),
    "bf16": (2, 3, lambda x: (x.view(np.uint32) >> 16).astype(np.uint16), np.float32),
    "i8": (5, 4, lambda x: x.astype(np.int8), np.int32),
}


class OneDnn:
    name = "oneDNN"
    kernels = {("gemm", "f32"), ("gemm", "bf16"), ("gemm", "i8"), ("spmm-2-4", "f32")}

    def __init__(self, threads):
        self.lib = library("libdnnl.so.3")

    def do(self, function, *arguments):
        status = getattr(self.lib, f"dnnl_{function}")(*arguments)
        if status != 0:
            raise RuntimeError(f"dnnl_{function} answered with status {status}")

    def prepare(self, case, arrays):
        operand, result, short, out = SHORT[case.dtype]
        a, b = place(short(arrays["A"])), place(short(arrays["B"]))
        c = place(np.full((a.shape[0], b.shape[1]), -1, out))
        engine, stream, matmul, primitive = (c_void_p() for _ in range(4))
        self.do("engine_create", byref(engine), c_int(1), ctypes.c_size_t(0))
        self.do("stream_create", byref(stream), engine, c_int(1))
        descriptions, memories = [], []
        for array, kind in ((a, operand), (b, operand), (c, result)):
            description, memory = c_void_p(), c_void_p()
            sizes, strides = ((c_int64 * 2)(*x) for x in (array.shape, (array.shape[1], 1)))
            self.do("memory_desc_create_with_strides", byref(description), c_int(2), sizes, c_int(kind), strides)
            self.do("memory_create", byref(memory), description, engine, at(array))
            descriptions.append(description)
            memories.append(memory)
        source, weights, product = descriptions
        self.do("matmul_primitive_desc_create", byref(matmul), engine, source, weights, None, product, None)
        self.do("primitive_create", byref(primitive), matmul)
        arguments = (Argument * 3)(*(Argument(i, m.value) for i, m in zip((1, 33, 17), memories)))
        execute, wait = self.lib.dnnl_primitive_execute, self.lib.dnnl_stream_wait

        def call():
            execute(primitive, stream, 3, arguments)
            wait(stream)

        call.keep = (a, b)
        return call, lambda: c


class Blis:
    name = "BLIS"
    kernels = {("gemm", "f32"), ("gemm", "f64")}

    def __init__(self, threads):
        import blis.py

        if threads > 1:
            raise RuntimeError("the wheel of BLIS is built for one thread")
        self.gemm = blis.py.gemm

    def prepare(self, case, arrays):
        a, b = place(arrays["A"]), place(arrays["B"])
        # It scales what was there before, so that must not be NaN.
        c = place(np.zeros((a.shape[0], b.shape[1]), a.dtype))
        return functools.partial(self.gemm, a, b, out=c), lambda: c


class SciPy:
    name = "SciPy"
    kernels = {("spmv-csr", "f32"), ("spmv-csr", "f64"), ("spmm-csr", "f32"), ("spmm-csr", "f64"), ("spmm-bsr", "f32")}

    def __init__(self, threads):
        if threads > 1:
            raise RuntimeError("sparse products of SciPy take one thread")

    def prepare(self, case, arrays):
        import scipy.sparse

        starts, columns = (arrays[name].astype(np.int32) for name in ("row_ptr", "columns"))
        right = place(arrays["x" if case.kernel == "spmv-csr" else "B"])
        if case.kernel == "spmm-bsr":
            values = np.ascontiguousarray(arrays["blocks"].transpose(0, 2, 1))
            shape = ((len(starts) - 1) * values.shape[1], right.shape[0])
            matrix = scipy.sparse.bsr_array((values, columns, starts), shape=shape)
        else:
            matrix = scipy.sparse.csr_array((arrays["values"], columns, starts), shape=(len(starts) - 1, right.shape[0]))
        out = []

        def call():
            out[:] = [matrix @ right]

        return call, lambda: out[0]


class OnnxRuntime:
    name = "onnxruntime"
    kernels = {("attention", "f32")}

    def __init__(self, threads):
        import onnxruntime

        self.runtime, self.threads = onnxruntime, threads

    def prepare(self, case, arrays):
        from onnx import TensorProto, helper

        heads, seq, dim = arrays["Q"].shape
        shape = [1, seq, heads * dim]
        causal = case.parameters.get("mask") == "causal"
        node = helper.make_node(
            "MultiHeadAttention", ["Q", "K", "V"], ["O"], domain="com.microsoft", num_heads=heads, unidirectional=int(causal)
        )
        value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph([node], "attention", [value("Q"), value("K"), value("V")], [value("O")])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 9
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = self.runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        out = empty(shape, np.float32)
        for name in ("Q", "K", "V"):
            array = place(np.ascontiguousarray(arrays[name].transpose(1, 0, 2).reshape(shape)))
            binding.bind_ortvalue_input(name, self.runtime.OrtValue.ortvalue_from_numpy(array))
        value = self.runtime.OrtValue.ortvalue_from_numpy(out)
        binding.bind_ortvalue_output("O", value)
        answer = lambda: value.numpy().reshape(seq, heads, dim).transpose(1, 0, 2)
        return functools.partial(session.run_with_iobinding, binding), answer


class OpenVino:
    name = "OpenVINO"
    kernels = {("attention", "f32")}

    def __init__(self, threads):
        import openvino

        self.openvino, self.threads = openvino, threads

    def prepare(self, case, arrays):
        from openvino import opset13

        shape = [1, *arrays["Q"].shape]
        inputs = [opset13.parameter(shape, np.float32, name) for name in ("Q", "K", "V")]
        causal = case.parameters.get("mask") == "causal"
        model = self.openvino.Model([opset13.scaled_dot_product_attention(*inputs, causal=causal)], inputs, "attention")
        # In single precision: by default it computes in bf16 where the processor has it.
        settings = {"INFERENCE_NUM_THREADS": self.threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        request = self.openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        placed = [place(arrays[name].reshape(shape)) for name in ("Q", "K", "V")]
        for index, array in enumerate(placed):
            request.set_input_tensor(index, self.openvino.Tensor(array, shared_memory=True))
        request.keep = placed
        return request.infer, lambda: request.get_output_tensor(0).data[0]


PEERS = [OneDnn, Mkl, MklWithoutHints, OpenBlas, Blis, SciPy, OnnxRuntime, OpenVino]
