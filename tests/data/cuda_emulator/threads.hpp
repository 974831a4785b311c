// What the parts of the emulator share: fibers, what they do together, and formats of elements.

#pragma once
#define EMULATOR
#include "emulate.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace emulator {

constexpr unsigned kWarp = 32;
constexpr std::size_t kStack = 256 * 1024;
constexpr std::size_t kShared = 256 * 1024;

// What programs for Hopper keep (hopper.cpp).
namespace hopper {
void begin(unsigned seed, unsigned shared);
const char* finish();
void explain();
}  // namespace hopper

// A copy that its thread has not waited for.
struct Copy {
    unsigned char* to;
    const unsigned char* from;
    bool valid;
};

struct Fiber {
    ucontext_t context;
    jmp_buf place;
    bool begun;
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
    Place place;
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Warp> warps;
    unsigned threads = 0, arrived = 0, generation = 0, progress = 0;
    Fiber* now = nullptr;
    jmp_buf scheduler;
    std::pair<void (*)(void*), void*> body;
    const char* failure = nullptr;
};

Block& block();
Fiber& self();
void give_way();

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

inline float of_f16(std::uint16_t x) {
    const int exponent = x >> 10 & 0x1f, mantissa = x & 0x3ff;
    float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                               : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
    if (exponent == 0x1f) {
        size = mantissa == 0 ? INFINITY : NAN;
    }
    return x & 0x8000 ? -size : size;
}

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
