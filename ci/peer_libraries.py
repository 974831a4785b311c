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


class Graphs:
    """ONNX graphs of what no library has a function for; each takes its activations and holds its weights."""

    @staticmethod
    def model(nodes, inputs, outputs, constants):
        from onnx import TensorProto, helper, numpy_helper

        value = lambda name, array: helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        graph = helper.make_graph(
            [helper.make_node(op, taken, made, **settings) for op, taken, made, settings in nodes],
            "case",
            [value(name, array) for name, array in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 9
        return model.SerializeToString()

    @classmethod
    def moe(cls, arrays):
        """Tokens gathered by expert, two products and SwiGLU each, and a sum over the experts of a token."""
        starts, tokens = arrays["expert_ptr"], arrays["tokens"].astype(np.int64)
        f = arrays["down"].shape[1]
        constants = {"gates": arrays["gates"][:, None]}
        nodes, parts = [], []
        for expert, (up, down) in enumerate(zip(arrays["up"], arrays["down"])):
            own = tokens[starts[expert] : starts[expert + 1]]
            if len(own) == 0:
                continue
            e = str(expert)
            constants |= {"own" + e: own, "gate" + e: up[:, :f], "up" + e: up[:, f:], "down" + e: down}
            nodes += [
                ("Gather", ["X", "own" + e], ["x" + e], {}),
                ("MatMul", ["x" + e, "gate" + e], ["g" + e], {}),
                ("MatMul", ["x" + e, "up" + e], ["u" + e], {}),
                ("Sigmoid", ["g" + e], ["s" + e], {}),
                ("Mul", ["g" + e, "s" + e], ["a" + e], {}),
                ("Mul", ["a" + e, "u" + e], ["h" + e], {}),
                ("MatMul", ["h" + e, "down" + e], ["y" + e], {}),
            ]
            parts.append("y" + e)
        # Slots of a token, whose weighted outputs are added up.
        slots = np.argsort(tokens, kind="stable").reshape(arrays["X"].shape[0], -1).astype(np.int64)
        constants |= {"slots": slots, "axis": np.array([1], np.int64)}
        nodes += [
            ("Concat", parts, ["all"], {"axis": 0}),
            ("Mul", ["all", "gates"], ["weighted"], {}),
            ("Gather", ["weighted", "slots"], ["of_tokens"], {}),
            ("ReduceSum", ["of_tokens", "axis"], ["O"], {"keepdims": 0}),
        ]
        inputs = {"X": arrays["X"]}
        return cls.model(nodes, inputs, ["O"], constants), inputs, lambda out: out

    @classmethod
    def relu(cls, arrays):
        """The layer without skipping: no library skips rows of zero units."""
        inputs = {"x": arrays["x"][None, :]}
        constants = {"U": arrays["U"].T, "b": -arrays["b"], "D": arrays["D"]}
        nodes = [
            ("MatMul", ["x", "U"], ["z"], {}),
            ("Add", ["z", "b"], ["biased"], {}),
            ("Relu", ["biased"], ["h"], {}),
            ("MatMul", ["h", "D"], ["O"], {}),
        ]
        return cls.model(nodes, inputs, ["O"], constants), inputs, lambda out: out[0]


def heads_of_cache(arrays):
    """Queries, keys and values of `kv-decode` as attention of the query heads of a group to its cache."""
    q, k = arrays["Q"], arrays["K"]
    groups, _, key = k.shape
    heads = len(q)
    dim = arrays["V"].shape[2] if "V" in arrays else key * 8 // 9
    # A latent row holds the value in its first elements. Libraries want values of their own, side by side.
    v = arrays["V"] if "V" in arrays else np.ascontiguousarray(k[:, :, :dim])
    return q.reshape(1, groups, heads // groups, key), k[None], v[None]


class OnnxRuntime:
    name = "onnxruntime"
    kernels = {("attention", "f32"), ("kv-decode", "f32"), ("moe", "f32"), ("relu-skip", "f32"), ("gemv-quantized", "bf16")}

    def __init__(self, threads):
        import onnxruntime

        self.runtime, self.threads = onnxruntime, threads

    def prepare(self, case, arrays):
        if case.kernel == "moe":
            model, inputs, answer = Graphs.moe(arrays)
        elif case.kernel == "relu-skip":
            model, inputs, answer = Graphs.relu(arrays)
        elif case.kernel == "gemv-quantized":
            model, inputs, answer = self.layer(case, arrays)
        else:
            model, inputs, answer = self.attention(case, arrays)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = self.runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        for name, array in inputs.items():
            array = place(np.ascontiguousarray(array))
            kept = self.runtime.OrtValue.ortvalue_from_numpy(array)
            binding.bind_ortvalue_input(name, kept)
            if name.startswith("past_"):
                # The cache stays where it is; only the last token is written.
                binding.bind_ortvalue_output(name.replace("past", "present"), kept)
        binding.bind_output("O", "cpu")
        return functools.partial(session.run_with_iobinding, binding), lambda: answer(binding.get_outputs()[-1].numpy())

    def attention(self, case, arrays):
        """MultiHeadAttention, batch 1; of a cache, its query heads are as many queries."""
        decode = case.kernel == "kv-decode"
        if decode and case.parameters["format"] == "int8":
            raise RuntimeError("it has no attention to a cache of bytes with a scale for each token")
        q, k, v = (x[0] for x in heads_of_cache(arrays)) if decode else (arrays[name] for name in ("Q", "K", "V"))
        if decode and k.shape == v.shape:
            return self.cached(arrays["Q"], k, v)
        flat = lambda x: np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(1, x.shape[1], -1)
        inputs = {"Q": flat(q), "K": flat(k), "V": flat(v)}
        causal = case.parameters.get("mask") == "causal"
        settings = {"domain": "com.microsoft", "num_heads": len(k), "unidirectional": int(causal)}
        model = Graphs.model([("MultiHeadAttention", ["Q", "K", "V"], ["O"], settings)], inputs, ["O"], {})
        back = lambda out: out.reshape(q.shape[1], len(k), -1).transpose(1, 0, 2)
        return model, inputs, (lambda out: back(out).reshape(arrays["Q"].shape[0], -1)) if decode else back

    def cached(self, q, k, v):
        """GroupQueryAttention: all tokens but the last are in the cache, in its own layout."""
        (heads, dim), (groups, length, _) = q.shape, k.shape
        last = lambda x: x[:, -1].reshape(1, 1, -1)
        inputs = {"Q": q.reshape(1, 1, -1), "K": last(k), "V": last(v), "past_key": k[None], "past_value": v[None]}
        inputs |= {"before": np.array([length - 1], np.int32), "length": np.array(length, np.int32)}
        settings = {"domain": "com.microsoft", "num_heads": heads, "kv_num_heads": groups}
        node = ("GroupQueryAttention", [*inputs], ["O", "present_key", "present_value"], settings)
        outputs = ["O", "present_key", "present_value"]
        return Graphs.model([node], inputs, outputs, {}), inputs, lambda out: out.reshape(heads, dim)

    def layer(self, case, arrays):
        """MatMulNBits in single precision: with activations in 8 bits it would compute something else."""
        bits = {"int8": 8, "int4": 4}[case.parameters["weights"]]
        group = int(case.parameters["group"])
        (n, k), zero = arrays["W"].shape, 1 << (bits - 1)
        codes = (arrays["W"] + zero).astype(np.uint8).reshape(n, k // group, group)
        if bits == 4:
            codes = codes[:, :, ::2] | codes[:, :, 1::2] << 4
        settings = {"domain": "com.microsoft", "K": k, "N": n, "bits": bits, "block_size": group, "accuracy_level": 1}
        constants = {"W": codes, "scales": arrays["scales"].reshape(-1)}
        inputs = {"X": arrays["X"]}
        nodes = [("MatMulNBits", ["X", "W", "scales"], ["O"], settings)]
        return Graphs.model(nodes, inputs, ["O"], constants), inputs, lambda out: out.T


class OpenVino:
    name = "OpenVINO"
    kernels = {("attention", "f32"), ("kv-decode", "f32"), ("moe", "f32"), ("relu-skip", "f32"), ("gemv-quantized", "bf16")}

    def __init__(self, threads):
        import openvino

        self.openvino, self.threads = openvino, threads

    def prepare(self, case, arrays):
        core = self.openvino.Core()
        answer = lambda out: out
        if case.kernel in ("moe", "relu-skip"):
            source, named, answer = (Graphs.moe if case.kernel == "moe" else Graphs.relu)(arrays)
            model, inputs = core.read_model(source, b""), list(named.values())
        elif case.kernel == "gemv-quantized":
            model, inputs, answer = self.layer(case, arrays)
        else:
            model, inputs, answer = self.attention(case, arrays)
        # In single precision: by default it computes in bf16 where the processor has it, and quantises activations.
        settings = {"INFERENCE_NUM_THREADS": self.threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        settings |= {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        placed = [place(np.ascontiguousarray(array)) for array in inputs]
        for index, array in enumerate(placed):
            request.set_input_tensor(index, self.openvino.Tensor(array, shared_memory=True))
        request.keep = placed
        return request.infer, lambda: answer(request.get_output_tensor(0).data)

    def attention(self, case, arrays):
        from openvino import opset13

        decode = case.kernel == "kv-decode"
        if decode and case.parameters["format"] == "int8":
            raise RuntimeError("its attention to caches of bytes is part of paged attention, with scales in another layout")
        inputs = list(heads_of_cache(arrays)) if decode else [arrays[name][None] for name in ("Q", "K", "V")]
        taken = [opset13.parameter(list(array.shape), np.float32, name) for name, array in zip("QKV", inputs)]
        causal = case.parameters.get("mask") == "causal"
        made = opset13.scaled_dot_product_attention(*taken, causal=causal)
        model = self.openvino.Model([made], taken, "attention")
        heads = arrays["Q"].shape[0]
        return model, inputs, lambda out: out.reshape(heads, -1) if decode else out[0]

    def layer(self, case, arrays):
        """Weights as constants that are converted and scaled, which its plugin fuses into the product."""
        from openvino import opset13

        (n, k), group = arrays["W"].shape, int(case.parameters["group"])
        shape = [n, k // group, group]
        if case.parameters["weights"] == "int8":
            wide = opset13.convert(opset13.constant(arrays["W"].reshape(shape).astype(np.int8)), np.float32)
        else:
            # Four bits without sign and a zero point, the form in which models bring them.
            codes = (arrays["W"] + 8).astype(np.uint8).reshape(-1)
            # A constant shares the memory of its array.
            self.packed = codes[::2] | codes[1::2] << 4
            tensor = self.openvino.Tensor(self.packed, shape, self.openvino.Type.u4)
            wide = opset13.convert(opset13.constant(tensor), np.float32)
            wide = opset13.subtract(wide, opset13.constant(np.full((1, 1, 1), 8, np.float32)))
        scaled = opset13.multiply(wide, opset13.constant(arrays["scales"].reshape(n, k // group, 1)))
        flat = opset13.reshape(scaled, opset13.constant(np.array([n, k])), False)
        taken = opset13.parameter(list(arrays["X"].shape), np.float32, "X")
        product = opset13.matmul(taken, flat, False, True)
        return self.openvino.Model([product], [taken], "layer"), [arrays["X"]], lambda out: out.T


class Torch:
    name = "PyTorch"
    kernels = {("kv-decode", "f32"), ("moe", "f32"), ("relu-skip", "f32"), ("gemv-quantized", "bf16")}

    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch = torch

    def prepare(self, case, arrays):
        torch = self.torch
        own = lambda array: torch.from_numpy(place(np.ascontiguousarray(array)))
        out = []
        if case.kernel == "gemv-quantized":
            raise RuntimeError("its products with weights of 8 and 4 bits round the answer to bf16")
        if case.kernel == "kv-decode":
            if case.parameters["format"] == "int8":
                raise RuntimeError("it has no attention to a cache of bytes")
            q, k, v = (own(x) for x in heads_of_cache(arrays))
            heads = len(arrays["Q"])
            step = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v).reshape(heads, -1)
        elif case.kernel == "relu-skip":
            x, up, bias, down = (own(arrays[name]) for name in ("x", "U", "b", "D"))
            down = down.T
            step = lambda: torch.mv(down, torch.relu(torch.mv(up, x) - bias))
        else:
            x, starts = own(arrays["X"]), arrays["expert_ptr"]
            tokens, gates = torch.from_numpy(arrays["tokens"].astype(np.int64)), own(arrays["gates"])[:, None]
            f = arrays["down"].shape[1]
            experts = [(own(up), own(down)) for up, down in zip(arrays["up"], arrays["down"])]
            spans = [slice(int(a), int(b)) for a, b in zip(starts, starts[1:])]

            def step():
                y = torch.zeros_like(x)
                for (up, down), span in zip(experts, spans):
                    hidden = x[tokens[span]] @ up
                    hidden = torch.nn.functional.silu(hidden[:, :f]) * hidden[:, f:]
                    y.index_add_(0, tokens[span], (hidden @ down) * gates[span])
                return y

        def call():
            out[:] = [step()]

        return call, lambda: out[0].numpy()


PEERS = [OneDnn, Mkl, MklWithoutHints, OpenBlas, Blis, SciPy, OnnxRuntime, OpenVino, Torch]
