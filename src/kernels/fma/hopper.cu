// The arithmetic ceiling of short elements on Hopper: the recurrence of `tiles.cu` by products of a warpgroup, which are faster there
// than mma.sync.
//
// Rows of a are repeated four times and columns of b sixteen times, so that each warp has sixteen of the tiles of `tiles.cu`; eight of
// them make a tile of the answer. Operands lie in shared memory for good; nothing is copied while products run.
//
// Macro: SHORT (as in tiles.cu). Rows of a, of `other` and of the transposed b are 32 bytes, in any type one product.
// Grid: any number of blocks; each warp writes two tiles of 16×8 sums.

#define THREADS GROUP
#define LEFT_ROWS 64
#define COLUMNS 128
#define ROW_BYTES 32
// Pairs of products of a group, of which two are under way.
#define PAIRS 4

#if SHORT == 0
typedef float SUM;
#define MULTIPLY multiply_transposed
#elif SHORT == 1
typedef float SUM;
#define MULTIPLY multiply_transposed_f16
#elif SHORT == 2
typedef int SUM;
#define MULTIPLY multiply_transposed_i8
#elif SHORT == 3
typedef float SUM;
#define MULTIPLY multiply_transposed_tf32
#else
typedef float SUM;
#define MULTIPLY multiply_transposed_f8
#endif

// Brings rows of 32 bytes, `Given` of them in turn, to `Rows` swizzled lines.
template <int Rows, int Given>
DEVICE void place_rows(bf16_t* lines, const unsigned char* __restrict__ rows) {
    for (unsigned index = threadIdx.x; index < Rows * 2; index += THREADS) {
        const unsigned row = index / 2, chunk = index % 2;
        *reinterpret_cast<uint4*>(lines + chunk_at<LINE>(row, chunk)) =
            *reinterpret_cast<const uint4*>(rows + row % Given * ROW_BYTES + chunk * 16);
    }
}

KERNEL(THREADS) tiles_hopper(const unsigned char* __restrict__ a, const unsigned char* __restrict__ other,
                             const unsigned char* __restrict__ b, const SUM* __restrict__ from, SUM* __restrict__ to, unsigned pairs) {
    TILES_SHARED(shared);
    bf16_t* lefts = reinterpret_cast<bf16_t*>(shared);
    bf16_t* others = lefts + LEFT_ROWS * LINE;
    bf16_t* rights = others + LEFT_ROWS * LINE;
    place_rows<LEFT_ROWS, 16>(lefts, a);
    place_rows<LEFT_ROWS, 16>(others, other);
    place_rows<COLUMNS, 8>(rights, b);
    writes_known();
    __syncthreads();

    const unsigned lane = threadIdx.x % WARP, row = lane / 4, column = lane % 4;
    const u64_t left = operand(lefts, 0, PATTERN_BYTES), turned = operand(others, 0, PATTERN_BYTES);
    const u64_t right = operand(rights, 0, PATTERN_BYTES);
    SUM sums[COLUMNS / 2];
#pragma unroll
    for (unsigned i = 0; i < COLUMNS / 2; ++i) {
        sums[i] = from[(row + i % 4 / 2 * 8) * 8 + column * 2 + i % 2];
    }
    pin(sums);
    for (unsigned pair = 0; pair < pairs; pair += PAIRS) {
        products_fence();
#pragma unroll
        for (unsigned u = 0; u < PAIRS; ++u) {
            MULTIPLY(sums, left, right, true);
            MULTIPLY(sums, turned, right, true);
        }
        products_commit();
        products_wait<1>();
    }
    products_wait<0>();
    pin(sums);
    SUM* own = to + static_cast<u64_t>(blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP) * 256;
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
            SUM total = 0;
#pragma unroll
            for (unsigned tile = 0; tile < 8; ++tile) {
                total += sums[(half * 8 + tile) * 4 + i];
            }
            own[half * 128 + (row + i / 2 * 8) * 8 + column * 2 + i % 2] = total;
        }
    }
}
