// Runs the text of a CUDA program on a CPU, for tests of its arithmetic on machines without a GPU.
//
// Every CUDA thread is a fiber (ucontext). Threads of a block take turns; what the whole warp or block does together
// (shuffles, ldmatrix, mma, barriers) waits until all have arrived and is then done once. Blocks run one after another.
//
// Stricter than hardware where that finds mistakes: shared memory starts as NaN in every block; an asynchronous copy
// happens only when its thread waits for it; threads and blocks run in a shuffled order; a barrier that not all threads
// reach is an error. What it does not show: races within a warp, bank conflicts, speed, limits of registers.
//
// Layouts of fragments: PTX ISA 8.x, "Matrix Fragments for mma.m16n8k16" and "ldmatrix".
//
// This file is what a program sees: declarations, so that it compiles fast. What they do is compiled once, into one library for all
// programs: threads.cpp (fibers, barriers, copies), products.cpp (instructions of a warp) and hopper.cpp.

#pragma once
#define WATTPROOF_EMULATED
#include <cstddef>
#include <cstdint>

#define __device__
#define __global__
#define __forceinline__ inline
#define __restrict__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static
#define KERNEL(threads) extern "C" void
#define DYNAMIC_SHARED(name) unsigned char* name = emulator::place->shared

struct uint2 {
    unsigned x, y;
};
struct __align__(16) uint4 {
    unsigned x, y, z, w;
};
struct int2 {
    int x, y;
};
struct float2 {
    float x, y;
};
struct __align__(16) float4 {
    float x, y, z, w;
};
struct __align__(16) double2 {
    double x, y;
};
struct dim3 {
    unsigned x, y, z;
};

namespace emulator {

// Where the thread that runs is: of its block.
struct Place {
    dim3 index, size, grid;
    unsigned char* shared;
};
extern __thread const Place* place;
extern __thread const dim3* thread;

// Ends the launch with a message.
[[noreturn]] void fail(const char* what);
void wait_for_copies(unsigned pending);
std::uint64_t shuffle_bits(unsigned mask, std::uint64_t bits, unsigned from);
// The lane of the thread that runs.
unsigned lane();

// Every lane gets the value of the lane that it names itself.
template <class T>
inline T shuffle(unsigned mask, T value, unsigned from) {
    static_assert(sizeof(T) <= 8, "a value of one or two registers");
    std::uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    bits = shuffle_bits(mask, bits, from);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

// Runs a grid of `body`. Returns what went wrong, or null.
const char* run_grid(void (*body)(void*), void* given, dim3 grid, dim3 size, unsigned shared, unsigned seed, bool hopper);

template <unsigned... I>
struct Places {};
template <unsigned Count, unsigned... I>
struct Counted : Counted<Count - 1, Count - 1, I...> {};
template <unsigned... I>
struct Counted<0, I...> {
    using Type = Places<I...>;
};

template <class... A, unsigned... I>
inline void call(void (*kernel)(A...), void** arguments, Places<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}

// `arguments` as for cuLaunchKernel: a pointer to each.
template <class... A>
inline const char* launch(void (*kernel)(A...), dim3 grid, dim3 size, unsigned shared, void** arguments, unsigned seed, bool hopper) {
    struct Body {
        void (*kernel)(A...);
        void** arguments;
    } body{kernel, arguments};
    const auto run = [](void* given) {
        Body* x = static_cast<Body*>(given);
        call(x->kernel, x->arguments, typename Counted<sizeof...(A)>::Type{});
    };
    return run_grid(run, &body, grid, size, shared, seed, hopper);
}

}  // namespace emulator

#define threadIdx (*emulator::thread)
#define blockIdx (emulator::place->index)
#define blockDim (emulator::place->size)
#define gridDim (emulator::place->grid)

// Everything the prelude would otherwise take from PTX or from the compiler.
void __syncthreads();
void __syncwarp();
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int distance) {
    return emulator::shuffle(mask, value, emulator::lane() ^ static_cast<unsigned>(distance));
}
template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane) {
    return emulator::shuffle(mask, value, static_cast<unsigned>(lane));
}
unsigned __ballot_sync(unsigned mask, bool value);
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __int_as_float(int x) {
    float y;
    __builtin_memcpy(&y, &x, 4);
    return y;
}
inline int __float_as_int(float x) {
    int y;
    __builtin_memcpy(&y, &x, 4);
    return y;
}
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline float atomicAdd(float* to, float x) {
    float before = *to;
    *to += x;
    return before;
}
inline unsigned atomicAdd(unsigned* to, unsigned x) {
    unsigned before = *to;
    *to += x;
    return before;
}
inline void __threadfence() {}
unsigned __byte_perm(unsigned a, unsigned b, unsigned selector);

void copy_async(void* shared, const void* global, bool valid);
void copy_commit();
template <int Pending>
inline void copy_wait() {
    emulator::wait_for_copies(Pending);
}

void load_matrices(unsigned (&to)[4], const void* row);
void load_matrices_transposed(unsigned (&to)[4], const void* row);

void multiply_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void multiply_half(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void multiply_bytes(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void multiply_f16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void multiply_i8(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void multiply_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void multiply_e4m3(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void multiply_sparse_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places);
void multiply_sparse_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places);
void multiply_sparse_i8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places);
void multiply_f64(double (&d)[2], double a, double b);

float exp2_fast(float x);
unsigned pack_bf16(float low, float high);
unsigned pack_f16(float low, float high);
unsigned fma_bf16x2(unsigned a, unsigned b, unsigned c);
uint4 load_once(const void* from);
// Rounds to 10 explicit bits, ties away from zero.
unsigned round_tf32(float x);
#ifndef EMULATOR
// In place of <cmath>, which takes longer to read than a program.
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float fmaxf(float a, float b) { return __builtin_fmaxf(a, b); }
inline float __expf(float x) { return __builtin_expf(x); }
#endif

#ifdef EMULATED_HOPPER
#define EMULATED_FOR_HOPPER true
#include "hopper.hpp"
#else
#define EMULATED_FOR_HOPPER false
#endif

// Makes a kernel callable from outside: emulate_NAME(grid, block, shared, arguments, seed); null, or what went wrong.
#define EMULATED_ENTRY(name)                                                                                            \
    extern "C" const char* emulate_##name(const unsigned* grid, const unsigned* size, unsigned shared, void** arguments, \
                                          unsigned seed) {                                                              \
        return emulator::launch(name, dim3{grid[0], grid[1], grid[2]}, dim3{size[0], size[1], size[2]}, shared, arguments, \
                                seed, EMULATED_FOR_HOPPER);                                                             \
    }
