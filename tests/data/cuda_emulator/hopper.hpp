// What src/kernels/hopper.cu takes from PTX, as a program for Hopper sees it; hopper.cpp does it.

#pragma once

#define TENSOR_MAP const TensorMap
#define TILES_SHARED(name) unsigned char* name = emulator::place->shared

// What stands in for CUtensorMap, 128 bytes as that: examples/rig/cuda/tensor_map.rs makes it.
struct TensorMap {
    std::uint64_t magic, address, sizes[3], pitches[2];
    std::uint32_t box[3], element, swizzle, rest[13];
};
static_assert(sizeof(TensorMap) == 128, "a tensor map has 128 bytes");

namespace emulator {
namespace hopper {

// What operands are; sums are whole numbers for bytes.
enum class Type { Bf16, F16, I8, F8, Tf32 };

void multiply(Type type, float* sums, unsigned count, std::uint64_t left, const unsigned* registers, std::uint64_t right, bool wide,
              bool accumulate);
void wait(unsigned pending);
void resize(unsigned count, bool more);

}  // namespace hopper
}  // namespace emulator

unsigned shared_address(const void* pointer);
void barrier_prepare(unsigned long long* barrier, unsigned arrivals);
void barriers_known();
void barrier_expect(unsigned long long* barrier, unsigned bytes);
void barrier_arrive(unsigned long long* barrier);
void barrier_wait(unsigned long long* barrier, unsigned parity);
void load_box(void* shared, const TensorMap* map, unsigned long long* barrier, unsigned x, unsigned y, unsigned z);
inline void prefetch_map(const TensorMap*) {}
void turn_wait(unsigned id, unsigned threads);
void turn_pass(unsigned id, unsigned threads);
void writes_known();
void products_fence();
void products_commit();
template <int Count>
inline void release_registers() {
    emulator::hopper::resize(Count, false);
}
template <int Count>
inline void claim_registers() {
    emulator::hopper::resize(Count, true);
}
template <int Pending>
inline void products_wait() {
    emulator::hopper::wait(Pending);
}
template <class Registers>
inline void pin(Registers&) {}

// Products of two operands in shared memory: their name, sums, and whether b has its columns innermost.
#define EMULATED_PRODUCT(name, number, count, type, wide)                                                                       \
    inline void name(number (&d)[count], unsigned long long a, unsigned long long b, bool accumulate) {                          \
        emulator::hopper::multiply(emulator::hopper::Type::type, reinterpret_cast<float*>(d), count, a, nullptr, b, wide, accumulate); \
    }
EMULATED_PRODUCT(multiply_tiles, float, 128, Bf16, true)
EMULATED_PRODUCT(multiply_tiles_f16, float, 128, F16, true)
EMULATED_PRODUCT(multiply_tiles_i8, int, 128, I8, false)
EMULATED_PRODUCT(multiply_tiles_f8, float, 128, F8, false)
EMULATED_PRODUCT(multiply_tiles_tf32, float, 128, Tf32, false)
EMULATED_PRODUCT(multiply_transposed, float, 64, Bf16, false)
EMULATED_PRODUCT(multiply_transposed_f16, float, 64, F16, false)
EMULATED_PRODUCT(multiply_transposed_i8, int, 64, I8, false)
EMULATED_PRODUCT(multiply_transposed_f8, float, 64, F8, false)
EMULATED_PRODUCT(multiply_transposed_tf32, float, 64, Tf32, false)

template <int Count>
inline void multiply_weights(float (&d)[Count], const unsigned (&a)[4], unsigned long long b, bool accumulate) {
    emulator::hopper::multiply(emulator::hopper::Type::Bf16, d, Count, 0, a, b, true, accumulate);
}
