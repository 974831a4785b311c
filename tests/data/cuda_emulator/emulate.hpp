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

#pragma once
#define WATTPROOF_EMULATED
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __restrict__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static
#define KERNEL(threads) extern "C" void
#define DYNAMIC_SHARED(name) unsigned char* name = emulator::block().shared.get()

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

constexpr unsigned kWarp = 32;
constexpr std::size_t kStack = 256 * 1024;
constexpr std::size_t kShared = 256 * 1024;

// Ends the launch with a message.
[[noreturn]] inline void fail(const char* what);

// What programs for Hopper keep (hopper.hpp). The others can change nothing of it, and are compiled twice as fast without.
namespace hopper {
#ifdef EMULATED_HOPPER
inline void begin(unsigned seed, unsigned shared);
inline const char* finish();
inline void explain();
#else
inline void begin(unsigned, unsigned) {}
inline const char* finish() { return nullptr; }
inline void explain() {}
#endif
}  // namespace hopper

// A copy that its thread has not waited for.
struct Copy {
    unsigned char* to;
    const unsigned char* from;
    bool valid;
};

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[kStack]};
    dim3 index;
    unsigned linear;
    bool done;
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
};

// What a warp does together.
struct Warp {
    unsigned arrived = 0, generation = 0;
    const void* given[kWarp];
    void* wanted[kWarp];
};

struct Block {
    std::unique_ptr<unsigned char[]> shared{new unsigned char[kShared]};
    dim3 index, size, grid;
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Warp> warps;
    unsigned threads = 0, arrived = 0, generation = 0, progress = 0;
    Fiber* now = nullptr;
    ucontext_t scheduler;
    std::pair<void (*)(void*), void*> body;
    const char* failure = nullptr;
};

inline Block& block() {
    static thread_local Block one;
    return one;
}

inline Fiber& self() { return *block().now; }

inline void give_way() { swapcontext(&self().context, &block().scheduler); }

// The thread is never run again: the launch returns the message.
[[noreturn]] inline void fail(const char* what) {
    block().failure = what;
    give_way();
    std::abort();
}

inline void enter() {
    Block& b = block();
    b.body.first(b.body.second);
    if (!self().open.empty() || !self().groups.empty()) {
        // Copies nobody waits for are legal only when they copy nothing that is read: hardware drops them at exit.
        self().open.clear();
        self().groups.clear();
    }
    self().done = true;
    b.progress++;
    give_way();
}

// Waits for the whole block.
inline void barrier() {
    Block& b = block();
    const unsigned mine = b.generation;
    b.progress++;
    if (++b.arrived == b.threads) {
        b.arrived = 0;
        b.generation++;
        return;
    }
    while (b.generation == mine) {
        give_way();
    }
}

// Waits for the whole warp; the last lane to come does `all` for every lane.
template <class All>
inline void together(const void* given, void* wanted, All all) {
    Block& b = block();
    Warp& w = b.warps[self().linear / kWarp];
    const unsigned lane = self().linear % kWarp, mine = w.generation;
    w.given[lane] = given;
    w.wanted[lane] = wanted;
    b.progress++;
    if (++w.arrived == kWarp) {
        all(w.given, w.wanted);
        w.arrived = 0;
        w.generation++;
        return;
    }
    while (w.generation == mine) {
        give_way();
    }
}

// Every lane gets the value of the lane that it names itself.
template <class T>
inline T shuffle(unsigned mask, T value, unsigned from) {
    if (mask != 0xffffffffu) {
        fail("a shuffle of a part of a warp");
    }
    struct Given {
        T value;
        unsigned from;
    } given{value, from % kWarp};
    T result;
    together(&given, &result, [](const void** all, void** wanted) {
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            const unsigned source = static_cast<const Given*>(all[lane])->from;
            *static_cast<T*>(wanted[lane]) = static_cast<const Given*>(all[source])->value;
        }
    });
    return result;
}

inline float of_bf16(std::uint16_t x) {
    std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// Rounds to nearest even, as cvt.rn does.
inline std::uint16_t to_bf16(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return 0x7fff;
    }
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

template <class... A, std::size_t... I>
inline void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
}

// Runs a grid. `arguments` as for cuLaunchKernel: a pointer to each. Returns what went wrong, or null.
template <class... A>
inline const char* launch(void (*kernel)(A...), dim3 grid, dim3 size, unsigned shared, void** arguments, unsigned seed) {
    Block& b = block();
    b.threads = size.x * size.y * size.z;
    if (b.threads == 0 || b.threads % kWarp != 0 || b.threads > 1024 || shared > kShared) {
        return "a block of another size than 1 to 32 warps, or with too much shared memory";
    }
    struct Body {
        void (*kernel)(A...);
        void** arguments;
    } body{kernel, arguments};
    b.body = {[](void* p) {
                  Body* x = static_cast<Body*>(p);
                  call(x->kernel, x->arguments, std::index_sequence_for<A...>{});
              },
              &body};
    b.size = size;
    b.grid = grid;
    b.failure = nullptr;
    while (b.fibers.size() < b.threads) {
        b.fibers.push_back(std::make_unique<Fiber>());
    }
    std::mt19937 random(seed);
    std::vector<unsigned> blocks(std::size_t{grid.x} * grid.y * grid.z), order(b.threads);
    std::iota(blocks.begin(), blocks.end(), 0u);
    std::shuffle(blocks.begin(), blocks.end(), random);
    std::iota(order.begin(), order.end(), 0u);
    for (unsigned place : blocks) {
        std::shuffle(order.begin(), order.end(), random);
        b.index = {place % grid.x, place / grid.x % grid.y, place / grid.x / grid.y};
        std::memset(b.shared.get(), 0xff, kShared);
        b.warps.assign(b.threads / kWarp, Warp{});
        b.arrived = b.generation = 0;
        hopper::begin(random(), shared);
        for (unsigned t = 0; t < b.threads; ++t) {
            Fiber& f = *b.fibers[t];
            f.index = {t % size.x, t / size.x % size.y, t / size.x / size.y};
            f.linear = t;
            f.done = false;
            f.open.clear();
            f.groups.clear();
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.get();
            f.context.uc_stack.ss_size = kStack;
            f.context.uc_link = nullptr;
            makecontext(&f.context, enter, 0);
        }
        for (unsigned left = b.threads; left > 0;) {
            const unsigned before = b.progress;
            left = 0;
            for (unsigned t : order) {
                Fiber& f = *b.fibers[t];
                if (f.done) {
                    continue;
                }
                b.now = &f;
                swapcontext(&b.scheduler, &f.context);
                if (b.failure != nullptr) {
                    return b.failure;
                }
                left += f.done ? 0 : 1;
            }
            if (left > 0 && b.progress == before) {
                hopper::explain();
                return "threads wait for others that never come";
            }
        }
        if (const char* open = hopper::finish()) {
            return open;
        }
        for (unsigned i = shared; i < kShared; ++i) {
            if (b.shared[i] != 0xff) {
                return "a write behind the shared memory of the block";
            }
        }
    }
    return nullptr;
}

}  // namespace emulator

#define threadIdx (emulator::self().index)
#define blockIdx (emulator::block().index)
#define blockDim (emulator::block().size)
#define gridDim (emulator::block().grid)

// Everything the prelude would otherwise take from PTX or from the compiler.
inline void __syncthreads() { emulator::barrier(); }
inline void __syncwarp() {
    emulator::together(nullptr, nullptr, [](const void**, void**) {});
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int distance) {
    return emulator::shuffle(mask, value, (emulator::self().linear % emulator::kWarp) ^ static_cast<unsigned>(distance));
}
template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane) {
    return emulator::shuffle(mask, value, static_cast<unsigned>(lane));
}
inline unsigned __ballot_sync(unsigned mask, bool value) {
    if (mask != 0xffffffffu) {
        emulator::fail("a ballot of a part of a warp");
    }
    unsigned result;
    emulator::together(&value, &result, [](const void** given, void** wanted) {
        unsigned all = 0;
        for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
            all |= *static_cast<const bool*>(given[lane]) ? 1u << lane : 0u;
        }
        for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
            *static_cast<unsigned*>(wanted[lane]) = all;
        }
    });
    return result;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __int_as_float(int x) {
    float y;
    std::memcpy(&y, &x, 4);
    return y;
}
inline int __float_as_int(float x) {
    int y;
    std::memcpy(&y, &x, 4);
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
inline float __expf(float x) { return std::exp(x); }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const std::uint64_t both = static_cast<std::uint64_t>(b) << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        result |= static_cast<unsigned>(both >> (selector >> (4 * i) & 7) * 8 & 0xff) << (8 * i);
    }
    return result;
}

inline void copy_async(void* shared, const void* global, bool valid) {
    emulator::self().open.push_back(
        {static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global), valid});
}
inline void copy_commit() {
    auto& fiber = emulator::self();
    fiber.groups.push_back(std::move(fiber.open));
    fiber.open.clear();
}
template <int Pending>
inline void copy_wait() {
    auto& groups = emulator::self().groups;
    while (groups.size() > static_cast<std::size_t>(Pending)) {
        for (const auto& copy : groups.front()) {
            if ((reinterpret_cast<std::uintptr_t>(copy.to) | reinterpret_cast<std::uintptr_t>(copy.from)) % 16 != 0) {
                emulator::fail("an asynchronous copy that is not aligned to 16 bytes");
            }
            if (copy.valid) {
                std::memcpy(copy.to, copy.from, 16);
            } else {
                std::memset(copy.to, 0, 16);
            }
        }
        groups.pop_front();
    }
}

namespace emulator {
inline void load(unsigned (&to)[4], const void* row, bool transposed) {
    if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) {
        fail("a row of ldmatrix that is not aligned to 16 bytes");
    }
    together(row, to, [=](const void** rows, void** wanted) {
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            for (unsigned matrix = 0; matrix < 4; ++matrix) {
                unsigned value = 0;
                for (unsigned half = 0; half < 2; ++half) {
                    const unsigned major = lane / 4, minor = lane % 4 * 2 + half;
                    const unsigned r = transposed ? minor : major, c = transposed ? major : minor;
                    const auto* from = static_cast<const std::uint16_t*>(rows[matrix * 8 + r]);
                    value |= static_cast<unsigned>(from[c]) << (16 * half);
                }
                static_cast<unsigned*>(wanted[lane])[matrix] = value;
            }
        }
    });
}
}  // namespace emulator

inline void load_matrices(unsigned (&to)[4], const void* row) { emulator::load(to, row, false); }
inline void load_matrices_transposed(unsigned (&to)[4], const void* row) { emulator::load(to, row, true); }

inline void multiply_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    struct Given {
        const unsigned* a;
        unsigned b[2];
    } given{a, {b0, b1}};
    emulator::together(&given, d, [](const void** all, void** wanted) {
        float left[16][16], right[16][8];
        for (unsigned lane = 0; lane < 32; ++lane) {
            const Given& g = *static_cast<const Given*>(all[lane]);
            for (unsigned half = 0; half < 2; ++half) {
                for (unsigned part = 0; part < 4; ++part) {
                    const unsigned row = lane / 4 + part % 2 * 8, column = lane % 4 * 2 + half + part / 2 * 8;
                    left[row][column] = emulator::of_bf16(static_cast<std::uint16_t>(g.a[part] >> (16 * half)));
                }
                for (unsigned part = 0; part < 2; ++part) {
                    const unsigned row = lane % 4 * 2 + half + part * 8;
                    right[row][lane / 4] = emulator::of_bf16(static_cast<std::uint16_t>(g.b[part] >> (16 * half)));
                }
            }
        }
        for (unsigned lane = 0; lane < 32; ++lane) {
            float* sums = static_cast<float*>(wanted[lane]);
            for (unsigned element = 0; element < 4; ++element) {
                const unsigned row = lane / 4 + element / 2 * 8, column = lane % 4 * 2 + element % 2;
                double sum = sums[element];
                for (unsigned i = 0; i < 16; ++i) {
                    sum += static_cast<double>(left[row][i]) * static_cast<double>(right[i][column]);
                }
                sums[element] = static_cast<float>(sum);
            }
        }
    });
}

namespace emulator {
inline float of_half(std::uint16_t x) {
    const int exponent = x >> 10 & 31, mantissa = x & 1023;
    const double size = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) {
        fail("a binary16 operand that is infinite or NaN");
    }
    return static_cast<float>(x >> 15 ? -size : size);
}

// mma with words of `Pack` elements: rows of a and columns of b are 8 words long (PTX ISA, "Matrix Fragments for
// mma.m16n8k16 with floating point type" and "for mma.m16n8k32").
template <int Pack, class Sum, class Element>
inline void multiply_words(Sum (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, Element element) {
    struct Given {
        const unsigned* a;
        unsigned b[2];
    } given{a, {b0, b1}};
    together(&given, d, [=](const void** all, void** wanted) {
        double left[16][8 * Pack], right[8 * Pack][8];
        for (unsigned lane = 0; lane < 32; ++lane) {
            const Given& g = *static_cast<const Given*>(all[lane]);
            for (unsigned e = 0; e < Pack; ++e) {
                for (unsigned part = 0; part < 4; ++part) {
                    const unsigned row = lane / 4 + part % 2 * 8, word = lane % 4 + part / 2 * 4;
                    left[row][word * Pack + e] = element(g.a[part], e);
                }
                for (unsigned part = 0; part < 2; ++part) {
                    right[(lane % 4 + part * 4) * Pack + e][lane / 4] = element(g.b[part], e);
                }
            }
        }
        for (unsigned lane = 0; lane < 32; ++lane) {
            Sum* sums = static_cast<Sum*>(wanted[lane]);
            for (unsigned i = 0; i < 4; ++i) {
                const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
                double sum = sums[i];
                for (unsigned k = 0; k < 8 * Pack; ++k) {
                    sum += left[row][k] * right[k][column];
                }
                sums[i] = static_cast<Sum>(sum);
            }
        }
    });
}
}  // namespace emulator

inline void multiply_half(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply_words<2>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(emulator::of_half(static_cast<std::uint16_t>(word >> (16 * e))));
    });
}

inline void multiply_bytes(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply_words<4>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(static_cast<std::int8_t>(word >> (8 * e)));
    });
}

inline float exp2_fast(float x) { return std::exp2(x); }
inline unsigned pack_bf16(float low, float high) {
    return static_cast<unsigned>(emulator::to_bf16(high)) << 16 | emulator::to_bf16(low);
}
inline unsigned pack_f16(float low, float high) {
    const auto bits = [](float x) -> unsigned {
        const unsigned sign = std::signbit(x) ? 0x8000u : 0u;
        const double size = std::fabs(x);
        if (std::isnan(x)) {
            return 0x7e00u;
        }
        if (size >= 65520.0) {
            return sign | 0x7c00u;
        }
        const int exponent = std::max(size > 0 ? std::ilogb(size) : -14, -14);
        return sign | ((static_cast<unsigned>(exponent + 14) << 10) + static_cast<unsigned>(std::nearbyint(std::ldexp(size, 10 - exponent))));
    };
    return bits(high) << 16 | bits(low);
}
inline unsigned fma_bf16x2(unsigned a, unsigned b, unsigned c) {
    unsigned result = 0;
    for (int half = 0; half < 2; ++half) {
        const auto part = [=](unsigned x) { return emulator::of_bf16(static_cast<std::uint16_t>(x >> (16 * half))); };
        const double exact = static_cast<double>(part(a)) * part(b) + part(c);
        result |= static_cast<unsigned>(emulator::to_bf16(static_cast<float>(exact))) << (16 * half);
    }
    return result;
}
inline uint4 load_once(const void* from) {
    if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0) {
        emulator::fail("a load of 16 bytes that is not aligned");
    }
    uint4 x;
    std::memcpy(&x, from, 16);
    return x;
}
using std::fma;
using std::fmaf;
using std::fmaxf;

namespace emulator {
inline float of_f16(std::uint16_t x) {
    const int exponent = x >> 10 & 0x1f, mantissa = x & 0x3ff;
    float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                               : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
    if (exponent == 0x1f) {
        size = mantissa == 0 ? INFINITY : NAN;
    }
    return x & 0x8000 ? -size : size;
}

// d += a·b for a tile of 16×8 whose operands lie in words of `Each` neighbours along the sum, 4 rows of `8 * Each` of them for a,
// 2 for b (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "for mma.m16n8k32").
template <int Each, class Sum, class Wide, class Part>
inline void multiply(Sum (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, Part part) {
    struct Given {
        const unsigned* a;
        unsigned b[2];
    } given{a, {b0, b1}};
    together(&given, d, [=](const void** all, void** wanted) {
        Wide left[16][8 * Each], right[8 * Each][8];
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            const Given& g = *static_cast<const Given*>(all[lane]);
            for (unsigned e = 0; e < Each; ++e) {
                for (unsigned word = 0; word < 4; ++word) {
                    left[lane / 4 + word % 2 * 8][lane % 4 * Each + e + word / 2 * 4 * Each] = part(g.a[word], e);
                }
                for (unsigned word = 0; word < 2; ++word) {
                    right[lane % 4 * Each + e + word * 4 * Each][lane / 4] = part(g.b[word], e);
                }
            }
        }
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            Sum* sums = static_cast<Sum*>(wanted[lane]);
            for (unsigned element = 0; element < 4; ++element) {
                Wide sum = sums[element];
                for (unsigned i = 0; i < 8 * Each; ++i) {
                    sum += left[lane / 4 + element / 2 * 8][i] * right[i][lane % 4 * 2 + element % 2];
                }
                sums[element] = static_cast<Sum>(sum);
            }
        }
    });
}
}  // namespace emulator

inline void multiply_f16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply<2, float, double>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(emulator::of_f16(static_cast<std::uint16_t>(word >> (16 * e))));
    });
}
inline void multiply_i8(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply<4, int, long long>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<long long>(static_cast<signed char>(word >> (8 * e)));
    });
}
// Rounds to 10 explicit bits, ties away from zero.
inline unsigned round_tf32(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return (bits + 0x1000u) & 0xffffe000u;
}
inline void multiply_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    if (((a[0] | a[1] | a[2] | a[3] | b0 | b1) & 0x1fff) != 0) {
        emulator::fail("an operand in TF32 with more bits than that");
    }
    emulator::multiply<1, float, double>(d, a, b0, b1, [](unsigned word, unsigned) {
        float value;
        std::memcpy(&value, &word, 4);
        return static_cast<double>(value);
    });
}
namespace emulator {
// OCP 8-bit Floating Point Specification 1.0: bias 7, NaN where all bits but the sign are set.
inline float of_e4m3(std::uint8_t x) {
    const int exponent = x >> 3 & 15, mantissa = x & 7;
    float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    if ((x & 0x7f) == 0x7f) {
        size = NAN;
    }
    return x & 0x80 ? -size : size;
}
}  // namespace emulator
inline void multiply_e4m3(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply<4, float, double>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(emulator::of_e4m3(static_cast<std::uint8_t>(word >> (8 * e))));
    });
}
namespace emulator {
// PTX ISA, "Matrix Fragments for sparse mma.m16n8k32 with .f16 and .bf16 types", selector 0.
template <class Element>
inline void multiply_sparse(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places, Element element) {
    struct Given {
        const unsigned *a, *b;
        unsigned places;
    } given{a, b, places};
    together(&given, d, [=](const void** all, void** wanted) {
        float left[16][32] = {}, right[32][8];
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            const Given& g = *static_cast<const Given*>(all[lane]);
            for (unsigned word = 0; word < 4; ++word) {
                const unsigned row = lane / 4 + word % 2 * 8, group = lane % 4 + word / 2 * 4;
                const unsigned told = static_cast<const Given*>(all[lane / 4 * 4 + group / 4])->places;
                const unsigned pair = told >> (word % 2 * 16 + group % 4 * 4) & 15;
                if ((pair & 3) >= pair >> 2) {
                    fail("places of a sparse product that do not ascend");
                }
                for (unsigned half = 0; half < 2; ++half) {
                    const float value = element(static_cast<std::uint16_t>(g.a[word] >> (16 * half)));
                    left[row][group * 4 + (pair >> (2 * half) & 3)] = value;
                    const unsigned depth = word * 8 + lane % 4 * 2 + half;
                    right[depth][lane / 4] = element(static_cast<std::uint16_t>(g.b[word] >> (16 * half)));
                }
            }
        }
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            float* sums = static_cast<float*>(wanted[lane]);
            for (unsigned e = 0; e < 4; ++e) {
                double sum = sums[e];
                for (unsigned i = 0; i < 32; ++i) {
                    sum += static_cast<double>(left[lane / 4 + e / 2 * 8][i]) * right[i][lane % 4 * 2 + e % 2];
                }
                sums[e] = static_cast<float>(sum);
            }
        }
    });
}
}  // namespace emulator

inline void multiply_sparse_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    emulator::multiply_sparse(d, a, b, places, emulator::of_bf16);
}
inline void multiply_sparse_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    emulator::multiply_sparse(d, a, b, places, emulator::of_f16);
}
// Bytes: PTX ISA, "Matrix Fragments for sparse mma.m16n8k64 with .u8 and .s8 types". Which lane tells which places: CUTLASS brings them
// there in this order (`reorder_meta` in tools/util, words of 32 bits, and one ldmatrix).
inline void multiply_sparse_i8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    struct Given {
        const unsigned *a, *b;
        unsigned places;
    } given{a, b, places};
    emulator::together(&given, d, [](const void** all, void** wanted) {
        int left[16][64] = {}, right[64][8];
        for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
            const Given& g = *static_cast<const Given*>(all[lane]);
            for (unsigned word = 0; word < 4; ++word) {
                for (unsigned byte = 0; byte < 4; ++byte) {
                    right[word * 16 + lane % 4 * 4 + byte][lane / 4] = static_cast<signed char>(g.b[word] >> (8 * byte));
                    // Stored column of 32, and its group of four.
                    const unsigned row = lane / 4 + word % 2 * 8, stored = word / 2 * 16 + lane % 4 * 4 + byte, group = stored / 2;
                    const unsigned teller = lane / 4 * 4 + word % 2 + group / 8 * 2;
                    const unsigned pair = static_cast<const Given*>(all[teller])->places >> (group % 8 * 4) & 15;
                    if ((pair & 3) >= pair >> 2) {
                        emulator::fail("places of a sparse product that do not ascend");
                    }
                    left[row][group * 4 + (pair >> (stored % 2 * 2) & 3)] = static_cast<signed char>(g.a[word] >> (8 * byte));
                }
            }
        }
        for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
            int* sums = static_cast<int*>(wanted[lane]);
            for (unsigned e = 0; e < 4; ++e) {
                for (unsigned i = 0; i < 64; ++i) {
                    sums[e] += left[lane / 4 + e / 2 * 8][i] * right[i][lane % 4 * 2 + e % 2];
                }
            }
        }
    });
}

// PTX ISA, "Matrix Fragments for mma.m8n8k4 with .f64".
inline void multiply_f64(double (&d)[2], double a, double b) {
    struct Given {
        double a, b;
    } given{a, b};
    emulator::together(&given, d, [](const void** all, void** wanted) {
        for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
            double* sums = static_cast<double*>(wanted[lane]);
            for (unsigned i = 0; i < 4; ++i) {
                for (unsigned element = 0; element < 2; ++element) {
                    const double left = static_cast<const Given*>(all[lane / 4 * 4 + i])->a;
                    sums[element] = std::fma(left, static_cast<const Given*>(all[(lane % 4 * 2 + element) * 4 + i])->b, sums[element]);
                }
            }
        }
    });
}

// Makes a kernel callable from outside: emulate_NAME(grid, block, shared, arguments, seed); null, or what went wrong.
#define EMULATED_ENTRY(name)                                                                                            \
    extern "C" const char* emulate_##name(const unsigned* grid, const unsigned* size, unsigned shared, void** arguments, \
                                          unsigned seed) {                                                              \
        return emulator::launch(name, dim3{grid[0], grid[1], grid[2]}, dim3{size[0], size[1], size[2]}, shared, arguments, \
                                seed);                                                                                  \
    }

#ifdef EMULATED_HOPPER
#include "hopper.hpp"
#endif
