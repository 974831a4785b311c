// C = A·B with A in 2:4, on the sparse tensor cores: a tile of ROWS×COLUMNS results a block of threads.
//
// Slices are those of a dense product, but of A only the stored half comes to shared memory. Which of four neighbours a value is the
// instruction takes from a register, of two lanes of each four where elements have 16 bits, of all where they are bytes: words lie in the
// order in which a warp wants them, so that it reads 64 (128) neighbouring bytes for 16 rows and 32 (64) columns of A. Bytes of B come
// as pairs of columns, as in gemm/types.cu.
//
// Macros: KIND (0: bfloat16, 1: binary16, 2: bytes), ROWS, COLUMNS, WARP_ROWS, WARP_COLUMNS (tile of a warp), DEPTH (columns of A in a
// slice, a multiple of WIDTH), STAGES, ALIGNED (rows of the stored half and of B start at multiples of 16 bytes). values: m × k/2.
// places: ⌈m/16⌉ × ⌈k/WIDTH⌉ × WORDS_OF_PLACES. B: k × n. C: m × n in the type of A, for bytes in 32 bits. Grid: all tiles, in one
// dimension.

#define THREADS (ROWS / WARP_ROWS * (COLUMNS / WARP_COLUMNS) * WARP)
#define HALF (DEPTH / 2)
// Columns of A of an instruction, and words that say their places.
#if KIND == 2
#define WIDTH 64
#define WORDS_OF_PLACES 32
typedef signed char NUMBER;
typedef int RESULT;
typedef int SUM;
#else
#define WIDTH 32
#define WORDS_OF_PLACES 16
typedef bf16_t NUMBER;
typedef bf16_t RESULT;
typedef float SUM;
#endif
#define STEPS (DEPTH / WIDTH)
// Elements of 16 bytes, and their places in tiles of elements of 16 bits.
#define CHUNK (16 / sizeof(NUMBER))
#define PLACE(width, row, chunk) (chunk_at<(width) * sizeof(NUMBER) / 2>(row, chunk) * 2 / sizeof(NUMBER))
#define SIZE(rows, width) (TILE_ELEMENTS(rows, (width) * sizeof(NUMBER) / 2) * 2 / sizeof(NUMBER))
#define LEFT_SIZE SIZE(ROWS, HALF)
#define RIGHT_SIZE SIZE(DEPTH, COLUMNS)
// Rows of tiles that are gone through together.
#define BAND 8

DEVICE void load_slices(NUMBER* left, NUMBER* right, const NUMBER* values, const NUMBER* b, unsigned row, unsigned column,
                        unsigned depth, unsigned m, unsigned n, unsigned k) {
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < ROWS * (HALF / CHUNK); index += THREADS) {
        const unsigned at = index / (HALF / CHUNK), chunk = index % (HALF / CHUNK), first = depth / 2 + chunk * CHUNK;
        const bool inside = row + at < m && first < k / 2;
        const u64_t from = inside ? static_cast<u64_t>(row + at) * (k / 2) + first : 0;
        copy_sixteen<ALIGNED>(left + PLACE(HALF, at, chunk), values + from, inside, k / 2 - first);
    }
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < DEPTH * (COLUMNS / CHUNK); index += THREADS) {
        const unsigned at = index / (COLUMNS / CHUNK), chunk = index % (COLUMNS / CHUNK), first = column + chunk * CHUNK;
        const bool inside = depth + at < k && first < n;
        const u64_t from = inside ? static_cast<u64_t>(depth + at) * n + first : 0;
        copy_sixteen<ALIGNED>(right + PLACE(COLUMNS, at, chunk), b + from, inside, n - first);
    }
}

// sums += 16 rows of A, `a`, times columns `column` to `column + 15` of B from row `depth` of its slice on, for all such rows of the warp.
DEVICE void multiply_columns(SUM (&sums)[WARP_ROWS / 16][WARP_COLUMNS / 8][4], const unsigned (&a)[WARP_ROWS / 16][4],
                             const unsigned (&places)[WARP_ROWS / 16], const NUMBER* right, unsigned depth, unsigned column, int j) {
    const unsigned lane = threadIdx.x % WARP;
    unsigned both[2][4];
#if KIND == 2
    // Row 2q of the first matrix is product 4q, of the second 4q + 2; the other two hold the next 16 products.
    const unsigned row = lane % 8 / 2 * 4 + lane % 2 + lane / 8 % 2 * 2 + lane / 16 * 16;
#pragma unroll
    for (int part = 0; part < 2; ++part) {
        unsigned pairs[4];
        load_matrices_transposed(pairs, right + PLACE(COLUMNS, depth + part * 32 + row, column / 16));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            both[0][part * 2 + half] = __byte_perm(pairs[2 * half], pairs[2 * half + 1], 0x6420);
            both[1][part * 2 + half] = __byte_perm(pairs[2 * half], pairs[2 * half + 1], 0x7531);
        }
    }
#else
    const unsigned chunk = column / 8 + lane / 16;
    unsigned upper[4], lower[4];
    load_matrices_transposed(upper, right + PLACE(COLUMNS, depth + lane % 16, chunk));
    load_matrices_transposed(lower, right + PLACE(COLUMNS, depth + 16 + lane % 16, chunk));
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        both[half][0] = upper[2 * half];
        both[half][1] = upper[2 * half + 1];
        both[half][2] = lower[2 * half];
        both[half][3] = lower[2 * half + 1];
    }
#endif
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int i = 0; i < WARP_ROWS / 16; ++i) {
#if KIND == 0
            multiply_sparse_bf16(sums[i][2 * j + half], a[i], both[half], places[i]);
#elif KIND == 1
            multiply_sparse_f16(sums[i][2 * j + half], a[i], both[half], places[i]);
#else
            multiply_sparse_i8(sums[i][2 * j + half], a[i], both[half], places[i]);
#endif
        }
    }
}

KERNEL(THREADS) structured(const NUMBER* __restrict__ values, const unsigned* __restrict__ places, const NUMBER* __restrict__ b,
                           RESULT* __restrict__ c, unsigned m, unsigned n, unsigned k) {
    DYNAMIC_SHARED(shared);
    NUMBER* lefts = reinterpret_cast<NUMBER*>(shared);
    NUMBER* rights = lefts + STAGES * LEFT_SIZE;
    const unsigned down = (m + ROWS - 1) / ROWS, across = (n + COLUMNS - 1) / COLUMNS;
    const unsigned band = blockIdx.x / (BAND * across), place = blockIdx.x % (BAND * across);
    const unsigned height = min(down - band * BAND, static_cast<unsigned>(BAND));
    const unsigned row = (band * BAND + place % height) * ROWS, column = place / height * COLUMNS;
    const unsigned slices = (k + DEPTH - 1) / DEPTH, steps = (k + WIDTH - 1) / WIDTH, tiles = (m + 15) / 16;
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const unsigned own_row = warp / (COLUMNS / WARP_COLUMNS) * WARP_ROWS;
    const unsigned own_column = warp % (COLUMNS / WARP_COLUMNS) * WARP_COLUMNS;
    for (unsigned stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < slices) {
            load_slices(lefts + stage * LEFT_SIZE, rights + stage * RIGHT_SIZE, values, b, row, column, stage * DEPTH, m, n, k);
        }
        copy_commit();
    }
    SUM sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};
    // A lane's place among the words: two lanes of four tell those of 16 bits.
    const unsigned told = KIND == 2 ? lane : lane / 4 * 2 + lane % 2;
    for (unsigned slice = 0; slice < slices; ++slice) {
        // On their way while the thread waits. Where there are none, values are zero, but places have to be some.
        unsigned own[STEPS][WARP_ROWS / 16];
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
#pragma unroll
            for (int i = 0; i < WARP_ROWS / 16; ++i) {
                const unsigned tile = (row + own_row) / 16 + i, at = slice * STEPS + step;
                own[step][i] = tile < tiles && at < steps
                                   ? places[(static_cast<u64_t>(tile) * steps + at) * WORDS_OF_PLACES + told]
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
        const NUMBER* left = lefts + slice % STAGES * LEFT_SIZE;
        const NUMBER* right = rights + slice % STAGES * RIGHT_SIZE;
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
            unsigned a[WARP_ROWS / 16][4];
#pragma unroll
            for (int i = 0; i < WARP_ROWS / 16; ++i) {
                load_matrices(a[i], left + PLACE(HALF, own_row + i * 16 + lane % 16, step * 2 + lane / 16));
            }
#pragma unroll
            for (int j = 0; j < WARP_COLUMNS / 16; ++j) {
                multiply_columns(sums, a, own[step], right, step * WIDTH, own_column + j * 16, j);
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
                for (int j = 0; j < WARP_COLUMNS / 8; j += KIND == 2 ? 2 : 1) {
                    const unsigned first = column + own_column + j * 8 + lane % 4 * (KIND == 2 ? 4 : 2);
                    RESULT* to = c + static_cast<u64_t>(at) * n;
#if KIND == 0
                    store_pair<ALIGNED>(to, first, n, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
#elif KIND == 1
                    store_packed<ALIGNED>(to, first, n, pack_f16(sums[i][j][2 * half], sums[i][j][2 * half + 1]));
#else
                    // The odd columns are the next tile.
                    __align__(16) const int four[4] = {sums[i][j][2 * half], sums[i][j + 1][2 * half], sums[i][j][2 * half + 1],
                                                       sums[i][j + 1][2 * half + 1]};
                    store_sixteen<ALIGNED>(to, first, n, four);
#endif
                }
            }
        }
    }
}
