// C = A·B with A in 2:4 in bfloat16, on the sparse tensor cores: a tile of ROWS×COLUMNS results a block of threads.
//
// Slices are those of a dense product, but of A only the stored half comes to shared memory. Which of four neighbours a value is the
// instruction takes from a register of two lanes of each four: words lie in the order in which a warp wants them, so that it reads
// 64 neighbouring bytes for 16 rows and 32 columns of A.
//
// Macros: ROWS, COLUMNS, WARP_ROWS, WARP_COLUMNS (tile of a warp), DEPTH (columns of A in a slice, a multiple of 32), STAGES, ALIGNED (k is
// a multiple of 16 and n of 8). values: m × k/2. places: ⌈m/16⌉ × ⌈k/32⌉ × 16 words. B: k × n. C: m × n in bfloat16. Grid: all tiles, in one
// dimension.

#define THREADS (ROWS / WARP_ROWS * (COLUMNS / WARP_COLUMNS) * WARP)
#define HALF (DEPTH / 2)
#define STEPS (DEPTH / 32)
#define LEFT_SIZE TILE_ELEMENTS(ROWS, HALF)
#define RIGHT_SIZE TILE_ELEMENTS(DEPTH, COLUMNS)
#define CHUNK 8
// Rows of tiles that are gone through together.
#define BAND 8

DEVICE void load_slices(bf16_t* left, bf16_t* right, const bf16_t* values, const bf16_t* b, unsigned row, unsigned column,
                        unsigned depth, unsigned m, unsigned n, unsigned k) {
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < ROWS * (HALF / CHUNK); index += THREADS) {
        const unsigned at = index / (HALF / CHUNK), chunk = index % (HALF / CHUNK), first = depth / 2 + chunk * CHUNK;
        const bool inside = row + at < m && first < k / 2;
        const u64_t from = inside ? static_cast<u64_t>(row + at) * (k / 2) + first : 0;
        copy_sixteen<ALIGNED>(left + chunk_at<HALF>(at, chunk), values + from, inside, k / 2 - first);
    }
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < DEPTH * (COLUMNS / CHUNK); index += THREADS) {
        const unsigned at = index / (COLUMNS / CHUNK), chunk = index % (COLUMNS / CHUNK), first = column + chunk * CHUNK;
        const bool inside = depth + at < k && first < n;
        const u64_t from = inside ? static_cast<u64_t>(depth + at) * n + first : 0;
        copy_sixteen<ALIGNED>(right + chunk_at<COLUMNS>(at, chunk), b + from, inside, n - first);
    }
}

KERNEL(THREADS) structured(const bf16_t* __restrict__ values, const unsigned* __restrict__ places, const bf16_t* __restrict__ b,
                           bf16_t* __restrict__ c, unsigned m, unsigned n, unsigned k) {
    DYNAMIC_SHARED(shared);
    bf16_t* lefts = reinterpret_cast<bf16_t*>(shared);
    bf16_t* rights = lefts + STAGES * LEFT_SIZE;
    const unsigned down = (m + ROWS - 1) / ROWS, across = (n + COLUMNS - 1) / COLUMNS;
    const unsigned band = blockIdx.x / (BAND * across), place = blockIdx.x % (BAND * across);
    const unsigned height = min(down - band * BAND, static_cast<unsigned>(BAND));
    const unsigned row = (band * BAND + place % height) * ROWS, column = place / height * COLUMNS;
    const unsigned slices = (k + DEPTH - 1) / DEPTH, steps = (k + 31) / 32, tiles = (m + 15) / 16;
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const unsigned own_row = warp / (COLUMNS / WARP_COLUMNS) * WARP_ROWS;
    const unsigned own_column = warp % (COLUMNS / WARP_COLUMNS) * WARP_COLUMNS;
    for (unsigned stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < slices) {
            load_slices(lefts + stage * LEFT_SIZE, rights + stage * RIGHT_SIZE, values, b, row, column, stage * DEPTH, m, n, k);
        }
        copy_commit();
    }
    float sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};
    for (unsigned slice = 0; slice < slices; ++slice) {
        // On their way while the thread waits. Where there are none, values are zero, but places have to be some.
        unsigned own[STEPS][WARP_ROWS / 16];
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
#pragma unroll
            for (int i = 0; i < WARP_ROWS / 16; ++i) {
                const unsigned tile = (row + own_row) / 16 + i, at = slice * STEPS + step;
                own[step][i] = tile < tiles && at < steps
                                   ? places[(static_cast<u64_t>(tile) * steps + at) * 16 + lane / 4 * 2 + lane % 2]
                                   : 0x44444444u;
            }
        }
        copy_wait<STAGES - 2>();
        __syncthreads();
        const unsigned ahead = slice + STAGES - 1;
        if (ahead < slices) {
            load_slices(lefts + ahead % STAGES * LEFT_SIZE, rights + ahead % STAGES * RIGHT_SIZE, values, b, row, column,
                        ahead * DEPTH, m, n, k);
        }
        copy_commit();
        const bf16_t* left = lefts + slice % STAGES * LEFT_SIZE;
        const bf16_t* right = rights + slice % STAGES * RIGHT_SIZE;
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
            unsigned a[WARP_ROWS / 16][4];
#pragma unroll
            for (int i = 0; i < WARP_ROWS / 16; ++i) {
                load_matrices(a[i], left + chunk_at<HALF>(own_row + i * 16 + lane % 16, step * 2 + lane / 16));
            }
#pragma unroll
            for (int j = 0; j < WARP_COLUMNS / 16; ++j) {
                const unsigned chunk = own_column / 8 + j * 2 + lane / 16;
                unsigned upper[4], lower[4];
                load_matrices_transposed(upper, right + chunk_at<COLUMNS>(step * 32 + lane % 16, chunk));
                load_matrices_transposed(lower, right + chunk_at<COLUMNS>(step * 32 + 16 + lane % 16, chunk));
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const unsigned both[4] = {upper[2 * half], upper[2 * half + 1], lower[2 * half], lower[2 * half + 1]};
#pragma unroll
                    for (int i = 0; i < WARP_ROWS / 16; ++i) {
                        multiply_sparse_bf16(sums[i][2 * j + half], a[i], both, own[step][i]);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const unsigned at = row + own_row + i * 16 + half * 8 + lane / 4;
            if (at < m) {
#pragma unroll
                for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
                    const unsigned first = column + own_column + j * 8 + lane % 4 * 2;
                    store_pair<ALIGNED>(c + static_cast<u64_t>(at) * n, first, n, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
                }
            }
        }
    }
}
