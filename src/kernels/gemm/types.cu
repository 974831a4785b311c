// C = A·B in the types besides bfloat16: a tile of ROWS×COLUMNS results a block of threads, slices of 64 bytes of each row of A.
//
// binary32 is computed on FMA units, for tensor cores would round its operands; binary64 by mma.m8n8k4; binary16 by mma.m16n8k16 with
// sums in binary32; TF32 by mma.m16n8k8 from binary32 numbers that are rounded in registers; bytes, whole numbers or e4m3, by
// mma.m16n8k32 with sums in 32 bits. B lies row by row, and a lane wants four bytes of a column: bytes come as
// pairs of columns by `load_matrices_transposed`, from rows in such an order that two permutations make two columns of them.
//
// Macros: KIND (0: binary32, 1: binary64, 2: binary16, 3: bytes, 4: TF32, 5: e4m3), ROWS, COLUMNS, WARP_ROWS, WARP_COLUMNS (tile of a warp), DEPTH,
// STAGES, ALIGNED (rows of A and B start at multiples of 16 bytes, and so do pairs and fours of C). A: m × k. B: k × n.
// C: m × n. Grid: all tiles, in one dimension.

#define OF_BYTES (KIND == 3 || KIND == 5)

#if KIND == 0 || KIND == 4
typedef float NUMBER;
typedef float RESULT;
#define CHUNK 4
#elif KIND == 1
typedef double NUMBER;
typedef double RESULT;
#define CHUNK 2
#elif KIND == 2
typedef f16_t NUMBER;
typedef float RESULT;
#define CHUNK 8
#elif KIND == 3
typedef signed char NUMBER;
typedef int RESULT;
#define CHUNK 16
#else
typedef unsigned char NUMBER;
typedef float RESULT;
#define CHUNK 16
#endif

#if KIND < 2
// 16 bytes of padding a row of A; 32 where tensor cores read four neighbours of eight rows at once.
#define LEFT_WIDTH (DEPTH + (1 + KIND) * CHUNK)
#define RIGHT_WIDTH (COLUMNS + KIND * 2 * CHUNK)
#define LEFT_PLACE(row, chunk) ((row) * LEFT_WIDTH + (chunk) * CHUNK)
#define RIGHT_PLACE(row, chunk) ((row) * RIGHT_WIDTH + (chunk) * CHUNK)
#define LEFT_SIZE (ROWS * LEFT_WIDTH)
#define RIGHT_SIZE (DEPTH * RIGHT_WIDTH)
#else
// Chunks of 16 bytes as in a tile of elements of 16 bits.
#define WORDS(elements) ((elements) * sizeof(NUMBER) / 2)
#define LEFT_PLACE(row, chunk) (chunk_at<WORDS(DEPTH)>(row, chunk) * 2 / sizeof(NUMBER))
#define LEFT_SIZE (TILE_ELEMENTS(ROWS, WORDS(DEPTH)) * 2 / sizeof(NUMBER))
#if KIND == 4
// Lanes read four rows of eight columns at once: 32 bytes of padding put these into different banks.
#define RIGHT_WIDTH (COLUMNS + 2 * CHUNK)
#define RIGHT_PLACE(row, chunk) ((row) * RIGHT_WIDTH + (chunk) * CHUNK)
#define RIGHT_SIZE (DEPTH * RIGHT_WIDTH)
#else
#define RIGHT_PLACE(row, chunk) (chunk_at<WORDS(COLUMNS)>(row, chunk) * 2 / sizeof(NUMBER))
#define RIGHT_SIZE (TILE_ELEMENTS(DEPTH, WORDS(COLUMNS)) * 2 / sizeof(NUMBER))
#endif
#endif
#if KIND == 0
#define THREADS (ROWS / SIDE_OF_THREAD * (COLUMNS / SIDE_OF_THREAD))
#else
#define THREADS (ROWS / WARP_ROWS * (COLUMNS / WARP_COLUMNS) * WARP)
#endif
// Rows of tiles that are gone through together.
#define BAND 8

// A slice of A and of B.
DEVICE void load_slices(NUMBER* left, NUMBER* right, const NUMBER* a, const NUMBER* b, unsigned row, unsigned column,
                        unsigned depth, unsigned m, unsigned n, unsigned k) {
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < ROWS * (DEPTH / CHUNK); index += THREADS) {
        const unsigned at = index / (DEPTH / CHUNK), chunk = index % (DEPTH / CHUNK), first = depth + chunk * CHUNK;
        const bool inside = row + at < m && first < k;
        const u64_t from = inside ? static_cast<u64_t>(row + at) * k + first : 0;
        copy_sixteen<ALIGNED>(left + LEFT_PLACE(at, chunk), a + from, inside, k - first);
    }
#pragma unroll 2
    for (unsigned index = threadIdx.x; index < DEPTH * (COLUMNS / CHUNK); index += THREADS) {
        const unsigned at = index / (COLUMNS / CHUNK), chunk = index % (COLUMNS / CHUNK), first = column + chunk * CHUNK;
        const bool inside = depth + at < k && first < n;
        const u64_t from = inside ? static_cast<u64_t>(depth + at) * n + first : 0;
        copy_sixteen<ALIGNED>(right + RIGHT_PLACE(at, chunk), b + from, inside, n - first);
    }
}

#if KIND == 1
// sums += a slice, in tiles of 8×8.
DEVICE void multiply_tiles(double (&sums)[WARP_ROWS / 8][WARP_COLUMNS / 8][2], const double* left, const double* right,
                           unsigned row, unsigned column) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (int step = 0; step < DEPTH / 4; ++step) {
        double a[WARP_ROWS / 8], b[WARP_COLUMNS / 8];
#pragma unroll
        for (int i = 0; i < WARP_ROWS / 8; ++i) {
            a[i] = left[(row + i * 8 + lane / 4) * LEFT_WIDTH + step * 4 + lane % 4];
        }
#pragma unroll
        for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
            b[j] = right[(step * 4 + lane % 4) * RIGHT_WIDTH + column + j * 8 + lane / 4];
        }
#pragma unroll
        for (int i = 0; i < WARP_ROWS / 8; ++i) {
#pragma unroll
            for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
                multiply_f64(sums[i][j], a[i], b[j]);
            }
        }
    }
}
#elif KIND == 4
// sums += a slice, in tiles of 16×8. Four numbers of A are a row of 16 bytes to `load_matrices`, which gives a lane one of them.
DEVICE void multiply_tiles(float (&sums)[WARP_ROWS / 16][WARP_COLUMNS / 8][4], const float* left, const float* right, unsigned row,
                           unsigned column) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (int step = 0; step < DEPTH / 8; ++step) {
        unsigned a[WARP_ROWS / 16][4], b[WARP_COLUMNS / 8][2];
#pragma unroll
        for (int i = 0; i < WARP_ROWS / 16; ++i) {
            load_matrices(a[i], left + LEFT_PLACE(row + i * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                a[i][part] = round_tf32(__int_as_float(static_cast<int>(a[i][part])));
            }
        }
#pragma unroll
        for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                b[j][half] = round_tf32(right[(step * 8 + half * 4 + lane % 4) * RIGHT_WIDTH + column + j * 8 + lane / 4]);
            }
        }
#pragma unroll
        for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
            for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
                multiply_tf32(sums[i][j], a[i], b[j][0], b[j][1]);
            }
        }
    }
}
#elif OF_BYTES
// sums += a slice, in tiles of 16×8. Of 16 columns of B the even ones make one tile and the odd ones the next, so that a lane's
// results are four neighbours.
DEVICE void multiply_tiles(RESULT (&sums)[WARP_ROWS / 16][WARP_COLUMNS / 8][4], const NUMBER* left, const NUMBER* right, unsigned row,
                           unsigned column) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (int step = 0; step < DEPTH / 32; ++step) {
        unsigned a[WARP_ROWS / 16][4], b[WARP_COLUMNS / 8][2];
#pragma unroll
        for (int i = 0; i < WARP_ROWS / 16; ++i) {
            load_matrices(a[i], left + LEFT_PLACE(row + i * 16 + lane % 16, step * 2 + lane / 16));
        }
#pragma unroll
        for (int j = 0; j < WARP_COLUMNS / 16; ++j) {
            // Row 2q of the first matrix is product 4q, of the second 4q + 2; the other two hold the next 16 products.
            const unsigned depth = step * 32 + lane % 8 / 2 * 4 + lane % 2 + lane / 8 % 2 * 2 + lane / 16 * 16;
            unsigned pairs[4];
            load_matrices_transposed(pairs, right + RIGHT_PLACE(depth, column / 16 + j));
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                b[2 * j][half] = __byte_perm(pairs[2 * half], pairs[2 * half + 1], 0x6420);
                b[2 * j + 1][half] = __byte_perm(pairs[2 * half], pairs[2 * half + 1], 0x7531);
            }
        }
#pragma unroll
        for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
            for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
#if KIND == 3
                multiply_i8(sums[i][j], a[i], b[j][0], b[j][1]);
#else
                multiply_e4m3(sums[i][j], a[i], b[j][0], b[j][1]);
#endif
            }
        }
    }
}
#endif

KERNEL(THREADS) gemm_type(const NUMBER* __restrict__ a, const NUMBER* __restrict__ b, RESULT* __restrict__ c, unsigned m, unsigned n,
                          unsigned k) {
    DYNAMIC_SHARED(shared);
    NUMBER* lefts = reinterpret_cast<NUMBER*>(shared);
    NUMBER* rights = lefts + STAGES * LEFT_SIZE;
    const unsigned down = (m + ROWS - 1) / ROWS, across = (n + COLUMNS - 1) / COLUMNS;
    const unsigned band = blockIdx.x / (BAND * across), place = blockIdx.x % (BAND * across);
    const unsigned height = min(down - band * BAND, static_cast<unsigned>(BAND));
    const unsigned row = (band * BAND + place % height) * ROWS, column = place / height * COLUMNS;
    const unsigned slices = (k + DEPTH - 1) / DEPTH;
    for (unsigned stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < slices) {
            load_slices(lefts + stage * LEFT_SIZE, rights + stage * RIGHT_SIZE, a, b, row, column, stage * DEPTH, m, n, k);
        }
        copy_commit();
    }
#if KIND == 0
    __align__(16) float sums[SIDE_OF_THREAD][SIDE_OF_THREAD] = {};
#else
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const unsigned own_row = warp / (COLUMNS / WARP_COLUMNS) * WARP_ROWS;
    const unsigned own_column = warp % (COLUMNS / WARP_COLUMNS) * WARP_COLUMNS;
#if KIND == 1
    double sums[WARP_ROWS / 8][WARP_COLUMNS / 8][2] = {};
#else
    RESULT sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};
#endif
#endif
    for (unsigned slice = 0; slice < slices; ++slice) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        const unsigned ahead = slice + STAGES - 1;
        if (ahead < slices) {
            load_slices(lefts + ahead % STAGES * LEFT_SIZE, rights + ahead % STAGES * RIGHT_SIZE, a, b, row, column,
                        ahead * DEPTH, m, n, k);
        }
        copy_commit();
        const NUMBER* left = lefts + slice % STAGES * LEFT_SIZE;
        const NUMBER* right = rights + slice % STAGES * RIGHT_SIZE;
#if KIND == 0
        accumulate_slice<false, ROWS, COLUMNS, DEPTH>(sums, left, right);
#elif KIND == 2
        multiply_slice<false, ROWS, COLUMNS, DEPTH>(sums, left, right, own_row, own_column, 0);
#else
        multiply_tiles(sums, left, right, own_row, own_column);
#endif
    }
#if KIND == 0
    const unsigned lower = threadIdx.x / (COLUMNS / SIDE_OF_THREAD), right = threadIdx.x % (COLUMNS / SIDE_OF_THREAD);
#pragma unroll
    for (int i = 0; i < SIDE_OF_THREAD; ++i) {
        const unsigned at = row + spread<float>(lower, i, ROWS);
        if (at < m) {
#pragma unroll
            for (int j = 0; j < SIDE_OF_THREAD; j += CHUNK) {
                store_sixteen<ALIGNED>(c + static_cast<u64_t>(at) * n, column + spread<float>(right, j, COLUMNS), n, &sums[i][j]);
            }
        }
    }
#elif KIND == 1
#pragma unroll
    for (int i = 0; i < WARP_ROWS / 8; ++i) {
        const unsigned at = row + own_row + i * 8 + lane / 4;
        if (at < m) {
#pragma unroll
            for (int j = 0; j < WARP_COLUMNS / 8; ++j) {
                __align__(16) const double pair[2] = {sums[i][j][0], sums[i][j][1]};
                store_sixteen<ALIGNED>(c + static_cast<u64_t>(at) * n, column + own_column + j * 8 + lane % 4 * 2, n, pair);
            }
        }
    }
#else
#pragma unroll
    for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const unsigned at = row + own_row + i * 16 + half * 8 + lane / 4;
            RESULT* to = c + static_cast<u64_t>(at) * n;
            if (at < m) {
#pragma unroll
                for (int j = 0; j < WARP_COLUMNS / 8; j += 1 + OF_BYTES) {
                    const unsigned first = column + own_column + j * 8 + lane % 4 * 2 * (1 + OF_BYTES);
#if !OF_BYTES
                    store_pair<ALIGNED>(to, first, n, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
#else
                    __align__(16) const RESULT four[4] = {sums[i][j][2 * half], sums[i][j + 1][2 * half], sums[i][j][2 * half + 1],
                                                          sums[i][j + 1][2 * half + 1]};
                    store_sixteen<ALIGNED>(to, first, n, four);
#endif
                }
            }
        }
    }
#endif
}
