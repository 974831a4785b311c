// What all CUDA programs share: element types, conversions, and the instructions of the PTX ISA they use, each in
// one small function. Nothing is included, because a machine that runs CUDA need not have its headers.
//
// `WATTPROOF_EMULATED` replaces the instructions by functions of the same names, so that a C++ compiler can run the
// same text on a CPU (tests/data/cuda_emulator/emulate.hpp).

typedef unsigned short bf16_t;
typedef unsigned long long u64_t;

#define DEVICE static __device__ __forceinline__
#define WARP 32
#define FULL_WARP 0xffffffffu
#define NEGATIVE_INFINITY __int_as_float(0xff800000)
#define LOG2_E 1.4426950408889634f

#ifndef WATTPROOF_EMULATED
// The 1: without it the assembler spills registers so that more blocks fit a multiprocessor.
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads, 1)
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

// Shared memory has addresses of its own (PTX ISA, "State Spaces").
DEVICE unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// Copies 16 bytes to shared memory without going through registers; zeros where `valid` is false (cp.async with a
// source size of 0). Visible to the thread after `copy_wait`, to others after a barrier behind that.
DEVICE void copy_async(void* shared, const void* global, bool valid) {
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
                 : "memory");
}

DEVICE void copy_commit() {
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Waits until at most `Pending` of the thread's latest groups of copies are under way.
template <int Pending>
DEVICE void copy_wait() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(Pending) : "memory");
}

// Four 8×8 matrices of 16-bit elements: lane l names row l % 8 of matrix l / 8 (ldmatrix).
DEVICE void load_matrices(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same, each matrix transposed.
DEVICE void load_matrices_transposed(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// d += a·b with a 16×16 and b 16×8 in bfloat16, d 16×8 in binary32 (mma.m16n8k16).
DEVICE void multiply_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same with binary16 operands.
DEVICE void multiply_half(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d += a·b with a 16×32 and b 32×8 in signed bytes, d 16×8 in 32 bits (mma.m16n8k32).
DEVICE void multiply_bytes(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d += a·b with a 16×8 and b 8×8 in TF32, d 16×8 in binary32 (mma.m16n8k8).
DEVICE void multiply_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A number rounded to TF32, ties away from zero.
DEVICE unsigned round_tf32(float x) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
}

// d += a·b with a 16×32 and b 32×8 in e4m3, d 16×8 in binary32 (mma.m16n8k32, from compute capability 8.9 on).
DEVICE void multiply_e4m3(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 2^x to about two units in the last place.
DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Two numbers rounded to bfloat16, the first in the lower half.
DEVICE unsigned pack_bf16(float low, float high) {
    unsigned packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// Two numbers rounded to binary16, the first in the lower half.
DEVICE unsigned pack_f16(float low, float high) {
    unsigned packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// a·b + c on two bfloat16 numbers at once.
DEVICE unsigned fma_bf16x2(unsigned a, unsigned b, unsigned c) {
    unsigned d;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

// 16 bytes that are read once: they need no place in the first cache.
DEVICE uint4 load_once(const void* from) {
    uint4 x;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"(from));
    return x;
}
#endif

DEVICE float widen(bf16_t x) {
    return __int_as_float(static_cast<int>(x) << 16);
}

DEVICE bf16_t narrow(float x) {
    return static_cast<bf16_t>(pack_bf16(x, 0.0f) & 0xffffu);
}

// The largest, or the sum, of the four lanes that hold one row of an accumulator.
DEVICE float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 1));
    return fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 2));
}

DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(FULL_WARP, x, 1);
    return x + __shfl_xor_sync(FULL_WARP, x, 2);
}

// The sum, or the largest, of all lanes, in every lane.
DEVICE float warp_sum(float x) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(FULL_WARP, x, distance);
    }
    return x;
}

// Place, in elements, of a chunk of 8 elements of 16 bits of a row in a tile in shared memory. Eight neighbouring rows
// of a column of chunks fall into different banks: by exchanging chunks where rows are multiples of 128 bytes, by 16
// bytes of padding elsewhere (which is why `Width` has to be a multiple of 16).
template <int Width>
DEVICE unsigned chunk_at(unsigned row, unsigned chunk) {
    if (Width % 64 == 0) {
        return row * Width + ((chunk ^ (row & 7)) * 8);
    }
    return row * (Width + 8) + chunk * 8;
}

// Elements of 16 bits that `rows` rows of such a tile take.
#define TILE_ELEMENTS(rows, width) ((rows) * ((width) % 64 == 0 ? (width) : (width) + 8))

// Brings `Rows` rows of a row-major matrix of `columns` columns into a tile of `Width` columns, from row `first` and column
// `left` (a multiple of 8) on, by all `Threads` threads of a block; zeros where the matrix ends. `Aligned`: rows start at
// multiples of 16 bytes.
template <int Rows, int Width, int Threads, bool Aligned>
DEVICE void load_tile(bf16_t* tile, const bf16_t* matrix, unsigned first, unsigned rows, unsigned columns, unsigned left = 0) {
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < Rows * (Width / 8); index += Threads) {
        unsigned row = index / (Width / 8), chunk = index % (Width / 8);
        unsigned column = left + chunk * 8;
        bool inside = first + row < rows && column < columns;
        bf16_t* to = tile + chunk_at<Width>(row, chunk);
        const bf16_t* from = matrix + (inside ? static_cast<u64_t>(first + row) * columns + column : 0);
        if (Aligned) {
            copy_async(to, from, inside);
        } else {
            for (unsigned element = 0; element < 8; ++element) {
                to[element] = inside && column + element < columns ? from[element] : static_cast<bf16_t>(0);
            }
        }
    }
}
