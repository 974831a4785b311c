// C = A·B with A in square blocks, most of which are not stored: a tile of ROWS×COLUMNS results a block of threads.
//
// The stored blocks of a row of blocks, one behind the other, are one long sum, cut into slices whatever the side of a block.
// Slices come to shared memory STAGES − 1 ahead of their use: of A as it is stored, column by column, and of B the rows that
// the columns of the blocks name. Blocks of threads that run together share a few columns of B, which the second cache
// serves.
//
// Macros: TENSOR (1: bfloat16 on tensor cores, 0: FMA units in NUMBER), NUMBER_BYTES, SIDE (of a block of A), ROWS, COLUMNS,
// WARP_ROWS, WARP_COLUMNS (tile of a warp), DEPTH, STAGES, ALIGNED (rows of B start at multiples of 16 bytes).
// row_ptr: m/SIDE + 1. columns: blocks. blocks: blocks × SIDE × SIDE. B: k × n. C: m × n. Grid: all tiles, in one dimension.

#if TENSOR
typedef bf16_t NUMBER;
typedef float RESULT;
#define THREADS (ROWS / WARP_ROWS * (COLUMNS / WARP_COLUMNS) * WARP)
#define PLACE(width, row, chunk) chunk_at<width>(row, chunk)
#define TILE_SIZE(rows, width) TILE_ELEMENTS(rows, width)
#else
#if NUMBER_BYTES == 8
typedef double NUMBER;
#else
typedef float NUMBER;
#endif
typedef NUMBER RESULT;
#define THREADS (ROWS / SIDE_OF_THREAD * (COLUMNS / SIDE_OF_THREAD))
#define PLACE(width, row, chunk) ((row) * (width) + (chunk) * CHUNK)
#define TILE_SIZE(rows, width) ((rows) * (width))
#endif
// Elements of 16 bytes.
#define CHUNK (16 / NUMBER_BYTES)
// Tiles across that are gone through together.
#define BAND 4

// Slice `slice` of the sum of `products` products that begins at block `first`.
DEVICE void load_slice(NUMBER* left, NUMBER* right, const unsigned* columns, const NUMBER* blocks, const NUMBER* b,
                       unsigned slice, unsigned first, unsigned products, unsigned upper, unsigned column, unsigned n) {
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < DEPTH * (ROWS / CHUNK); index += THREADS) {
        const unsigned depth = index / (ROWS / CHUNK), chunk = index % (ROWS / CHUNK), product = slice * DEPTH + depth;
        const bool inside = product < products;
        const u64_t from = (static_cast<u64_t>(first) * SIDE + product) * SIDE + upper + chunk * CHUNK;
        copy_async(left + PLACE(ROWS, depth, chunk), blocks + (inside ? from : 0), inside);
    }
#pragma unroll 4
    for (unsigned index = threadIdx.x; index < DEPTH * (COLUMNS / CHUNK); index += THREADS) {
        const unsigned depth = index / (COLUMNS / CHUNK), chunk = index % (COLUMNS / CHUNK), product = slice * DEPTH + depth;
        const unsigned at = column + chunk * CHUNK;
        const bool inside = product < products && at < n;
        const u64_t row = inside ? static_cast<u64_t>(columns[first + product / SIDE]) * SIDE + product % SIDE : 0;
        copy_sixteen<ALIGNED>(right + PLACE(COLUMNS, depth, chunk), b + row * n + (inside ? at : 0), inside, n - at);
    }
}

KERNEL(THREADS) block_sparse(const unsigned* __restrict__ row_ptr, const unsigned* __restrict__ columns,
                             const NUMBER* __restrict__ blocks, const NUMBER* __restrict__ b, RESULT* __restrict__ c,
                             unsigned m, unsigned n) {
    DYNAMIC_SHARED(shared);
    const unsigned left_size = TILE_SIZE(DEPTH, ROWS), right_size = TILE_SIZE(DEPTH, COLUMNS);
    NUMBER* lefts = reinterpret_cast<NUMBER*>(shared);
    NUMBER* rights = lefts + STAGES * left_size;
    const unsigned down = m / ROWS, across = (n + COLUMNS - 1) / COLUMNS;
    const unsigned band = blockIdx.x / (BAND * down), place = blockIdx.x % (BAND * down);
    const unsigned width = min(across - band * BAND, static_cast<unsigned>(BAND));
    const unsigned row = place / width * ROWS, column = (band * BAND + place % width) * COLUMNS;
    const unsigned first = row_ptr[row / SIDE], products = (row_ptr[row / SIDE + 1] - first) * SIDE;
    const unsigned slices = (products + DEPTH - 1) / DEPTH;

    for (unsigned stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < slices) {
            load_slice(lefts + stage * left_size, rights + stage * right_size, columns, blocks, b, stage, first, products,
                       row % SIDE, column, n);
        }
        copy_commit();
    }
#if TENSOR
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const unsigned own_row = warp / (COLUMNS / WARP_COLUMNS) * WARP_ROWS;
    const unsigned own_column = warp % (COLUMNS / WARP_COLUMNS) * WARP_COLUMNS;
    float sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};
#else
    __align__(16) NUMBER sums[SIDE_OF_THREAD][SIDE_OF_THREAD] = {};
#endif
    for (unsigned slice = 0; slice < slices; ++slice) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        const unsigned ahead = slice + STAGES - 1;
        if (ahead < slices) {
            load_slice(lefts + ahead % STAGES * left_size, rights + ahead % STAGES * right_size, columns, blocks, b, ahead,
                       first, products, row % SIDE, column, n);
        }
        copy_commit();
        const NUMBER* left = lefts + slice % STAGES * left_size;
        const NUMBER* right = rights + slice % STAGES * right_size;
#if TENSOR
        multiply_slice<true, ROWS, COLUMNS, DEPTH>(sums, left, right, own_row, own_column, 0);
#else
        accumulate_slice<true, ROWS, COLUMNS, DEPTH>(sums, left, right);
#endif
    }
#if TENSOR
#pragma unroll
    for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float* to = c + static_cast<u64_t>(row + own_row + i * 16 + half * 8 + lane / 4) * n;
#pragma unroll
            for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
                const unsigned at = column + own_column + j * 8 + lane % 4 * 2;
                store_pair<ALIGNED>(to, at, n, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
            }
        }
    }
#else
    const unsigned lower = threadIdx.x / (COLUMNS / SIDE_OF_THREAD), right = threadIdx.x % (COLUMNS / SIDE_OF_THREAD);
#pragma unroll
    for (int i = 0; i < SIDE_OF_THREAD; ++i) {
        NUMBER* to = c + static_cast<u64_t>(row + spread<NUMBER>(lower, i, ROWS)) * n;
#pragma unroll
        for (int j = 0; j < SIDE_OF_THREAD; j += CHUNK) {
            store_sixteen<ALIGNED>(to, column + spread<NUMBER>(right, j, COLUMNS), n, &sums[i][j]);
        }
    }
#endif
}
