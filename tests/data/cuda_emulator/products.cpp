// Instructions of a warp: loads of matrices, products of tiles; and what one thread computes by an instruction of its own.

#include "threads.hpp"

unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const std::uint64_t both = static_cast<std::uint64_t>(b) << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        result |= static_cast<unsigned>(both >> (selector >> (4 * i) & 7) * 8 & 0xff) << (8 * i);
    }
    return result;
}

namespace emulator {
void load(unsigned (&to)[4], const void* row, bool transposed) {
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

void load_matrices(unsigned (&to)[4], const void* row) { emulator::load(to, row, false); }
void load_matrices_transposed(unsigned (&to)[4], const void* row) { emulator::load(to, row, true); }

void multiply_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
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
float of_half(std::uint16_t x) {
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
void multiply_words(Sum (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, Element element) {
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

void multiply_half(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply_words<2>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(emulator::of_half(static_cast<std::uint16_t>(word >> (16 * e))));
    });
}

void multiply_bytes(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply_words<4>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(static_cast<std::int8_t>(word >> (8 * e)));
    });
}

float exp2_fast(float x) { return std::exp2(x); }
unsigned pack_bf16(float low, float high) {
    return static_cast<unsigned>(emulator::to_bf16(high)) << 16 | emulator::to_bf16(low);
}
unsigned pack_f16(float low, float high) {
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
unsigned fma_bf16x2(unsigned a, unsigned b, unsigned c) {
    unsigned result = 0;
    for (int half = 0; half < 2; ++half) {
        const auto part = [=](unsigned x) { return emulator::of_bf16(static_cast<std::uint16_t>(x >> (16 * half))); };
        const double exact = static_cast<double>(part(a)) * part(b) + part(c);
        result |= static_cast<unsigned>(emulator::to_bf16(static_cast<float>(exact))) << (16 * half);
    }
    return result;
}
uint4 load_once(const void* from) {
    if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0) {
        emulator::fail("a load of 16 bytes that is not aligned");
    }
    uint4 x;
    std::memcpy(&x, from, 16);
    return x;
}
namespace emulator {
// d += a·b for a tile of 16×8 whose operands lie in words of `Each` neighbours along the sum, 4 rows of `8 * Each` of them for a,
// 2 for b (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "for mma.m16n8k32").
template <int Each, class Sum, class Wide, class Part>
void multiply(Sum (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, Part part) {
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

void multiply_f16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply<2, float, double>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(emulator::of_f16(static_cast<std::uint16_t>(word >> (16 * e))));
    });
}
void multiply_i8(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply<4, int, long long>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<long long>(static_cast<signed char>(word >> (8 * e)));
    });
}
// Rounds to 10 explicit bits, ties away from zero.
unsigned round_tf32(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return (bits + 0x1000u) & 0xffffe000u;
}
void multiply_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    if (((a[0] | a[1] | a[2] | a[3] | b0 | b1) & 0x1fff) != 0) {
        emulator::fail("an operand in TF32 with more bits than that");
    }
    emulator::multiply<1, float, double>(d, a, b0, b1, [](unsigned word, unsigned) {
        float value;
        std::memcpy(&value, &word, 4);
        return static_cast<double>(value);
    });
}
void multiply_e4m3(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulator::multiply<4, float, double>(d, a, b0, b1, [](unsigned word, unsigned e) {
        return static_cast<double>(emulator::of_e4m3(static_cast<std::uint8_t>(word >> (8 * e))));
    });
}
namespace emulator {
// PTX ISA, "Matrix Fragments for sparse mma.m16n8k32 with .f16 and .bf16 types", selector 0.
template <class Element>
void multiply_sparse(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places, Element element) {
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

void multiply_sparse_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    emulator::multiply_sparse(d, a, b, places, emulator::of_bf16);
}
void multiply_sparse_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    emulator::multiply_sparse(d, a, b, places, emulator::of_f16);
}
// Bytes: PTX ISA, "Matrix Fragments for sparse mma.m16n8k64 with .u8 and .s8 types". Which lane tells which places: CUTLASS brings them
// there in this order (`reorder_meta` in tools/util, words of 32 bits, and one ldmatrix).
void multiply_sparse_i8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
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
void multiply_f64(double (&d)[2], double a, double b) {
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
