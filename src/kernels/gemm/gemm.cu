// C = A·B in bfloat16 with sums in binary32, on tensor cores: a tile of 128×128 results a block, of 64×32 a warp.
//
// Slices of A and B are copied to shared memory STAGES − 1 ahead of their use. Blocks that share rows of A and columns of B
// run near to each other, so that the second cache serves them.
//
// Macros: STAGES, ALIGNED (k and n are multiples of 8). A: m × k. B: k × n. C: m × n. Grid: all tiles, in one dimension.

#define TILE 128
#define DEPTH 32
#define WARPS 8
#define THREADS (WARPS * WARP)
// Rows of tiles that are gone through together.
#define BAND 8

KERNEL(THREADS) gemm(const bf16_t* __restrict__ a, const bf16_t* __restrict__ b, float* __restrict__ c, unsigned m, unsigned n, unsigned k) {
    DYNAMIC_SHARED(shared);
    const unsigned left_size = TILE_ELEMENTS(TILE, DEPTH), right_size = TILE_ELEMENTS(DEPTH, TILE);
    bf16_t* lefts = reinterpret_cast<bf16_t*>(shared);
    bf16_t* rights = lefts + STAGES * left_size;
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned down = (m + TILE - 1) / TILE, across = (n + TILE - 1) / TILE;
    const unsigned band = blockIdx.x / (BAND * across), place = blockIdx.x % (BAND * across);
    const unsigned height = min(down - band * BAND, static_cast<unsigned>(BAND));
    const unsigned row = (band * BAND + place % height) * TILE, column = place / height * TILE;
    const unsigned own_row = warp / 4 * 64, own_column = warp % 4 * 32;
    const unsigned slices = (k + DEPTH - 1) / DEPTH;

    for (unsigned stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < slices) {
            load_tile<TILE, DEPTH, THREADS, ALIGNED>(lefts + stage * left_size, a, row, m, k, stage * DEPTH);
            load_tile<DEPTH, TILE, THREADS, ALIGNED>(rights + stage * right_size, b, stage * DEPTH, k, n, column);
        }
        copy_commit();
    }
    float sums[4][4][4] = {};
    for (unsigned slice = 0; slice < slices; ++slice) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        const unsigned ahead = slice + STAGES - 1;
        if (ahead < slices) {
            load_tile<TILE, DEPTH, THREADS, ALIGNED>(lefts + ahead % STAGES * left_size, a, row, m, k, ahead * DEPTH);
            load_tile<DEPTH, TILE, THREADS, ALIGNED>(rights + ahead % STAGES * right_size, b, ahead * DEPTH, k, n, column);
        }
        // Also where nothing is left to copy: the number of groups behind is what the wait above counts.
        copy_commit();
        const bf16_t* left_tile = lefts + slice % STAGES * left_size;
        const bf16_t* right_tile = rights + slice % STAGES * right_size;
#pragma unroll
        for (int step = 0; step < DEPTH / 16; ++step) {
            unsigned left[4][4], right[2][4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                load_matrices(left[i], left_tile + chunk_at<DEPTH>(own_row + i * 16 + lane % 16, step * 2 + lane / 16));
            }
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                const unsigned chunk = own_column / 8 + j * 2 + lane / 16;
                load_matrices_transposed(right[j], right_tile + chunk_at<TILE>(step * 16 + lane % 16, chunk));
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    multiply_bf16(sums[i][j], left[i], right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const unsigned at = row + own_row + i * 16 + half * 8 + lane / 4;
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const unsigned first = column + own_column + j * 8 + lane % 4 * 2;
                float* to = c + static_cast<u64_t>(at) * n + first;
                if (at < m && first < n) {
                    if (ALIGNED) {
                        *reinterpret_cast<float2*>(to) = float2{sums[i][j][2 * half], sums[i][j][2 * half + 1]};
                    } else {
                        to[0] = sums[i][j][2 * half];
                        if (first + 1 < n) {
                            to[1] = sums[i][j][2 * half + 1];
                        }
                    }
                }
            }
        }
    }
}
