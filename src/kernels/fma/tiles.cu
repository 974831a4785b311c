// The arithmetic ceiling of short elements: every warp adds products of small whole numbers to its own accumulators by
// mma.sync, alternately a·b and other·b with a + other = 1, 2 or 3, so that all sums are exact and grow by a known amount.
//
// Macro: SHORT (0 bfloat16, 1 binary16, 2 signed bytes, 3 TF32, 4 e4m3).
// Grid: any number of blocks; each warp writes a tile of 16×8 sums.

#define THREADS 128
#define TILES 8

#if SHORT == 2
typedef int SUM;
#else
typedef float SUM;
#endif

DEVICE void add_products(SUM (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if SHORT == 0
    multiply_bf16(d, a, b0, b1);
#elif SHORT == 1
    multiply_half(d, a, b0, b1);
#elif SHORT == 2
    multiply_bytes(d, a, b0, b1);
#elif SHORT == 3
    multiply_tf32(d, a, b0, b1);
#else
    multiply_e4m3(d, a, b0, b1);
#endif
}

// Rows of a, of `other` and of the transposed b are 32 bytes: 8 words.
KERNEL(THREADS) tiles(const unsigned* __restrict__ a, const unsigned* __restrict__ other, const unsigned* __restrict__ b,
                      const SUM* __restrict__ from, SUM* __restrict__ to, unsigned pairs) {
    const unsigned lane = threadIdx.x % WARP, row = lane / 4, column = lane % 4;
    unsigned left[4], turned[4], right[2];
#pragma unroll
    for (unsigned part = 0; part < 4; ++part) {
        const unsigned word = (row + part % 2 * 8) * 8 + column + part / 2 * 4;
        left[part] = a[word];
        turned[part] = other[word];
    }
    right[0] = b[row * 8 + column];
    right[1] = b[row * 8 + column + 4];
    SUM sums[TILES][4];
#pragma unroll
    for (unsigned tile = 0; tile < TILES; ++tile) {
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
            sums[tile][i] = from[(row + i / 2 * 8) * 8 + column * 2 + i % 2];
        }
    }
#pragma unroll 2
    for (unsigned pair = 0; pair < pairs; ++pair) {
#pragma unroll
        for (unsigned tile = 0; tile < TILES; ++tile) {
            add_products(sums[tile], left, right[0], right[1]);
        }
#pragma unroll
        for (unsigned tile = 0; tile < TILES; ++tile) {
            add_products(sums[tile], turned, right[0], right[1]);
        }
    }
    SUM* own = to + static_cast<u64_t>(blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP) * 128;
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        SUM total = sums[0][i];
#pragma unroll
        for (unsigned tile = 1; tile < TILES; ++tile) {
            total += sums[tile][i];
        }
        own[(row + i / 2 * 8) * 8 + column * 2 + i % 2] = total;
    }
}
