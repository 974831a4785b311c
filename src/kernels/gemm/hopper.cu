// C = A·B in bfloat16 with sums in binary32 on Hopper: a block makes tiles of 128×256 results, one after another.
//
// One warpgroup keeps STAGES slices of A and B coming into shared memory, two multiply them, 64 rows each, and store. While
// these store a tile, the slices of the next arrive. B is read as it lies, with n innermost. The structure is that of
// CUTLASS's warp-specialised persistent kernels (Hopper, "cooperative").
//
// Macros: STAGES. Maps: A as k × m with boxes of 64×128, B as n × k with boxes of 64×64; both need rows of multiples of
// 16 bytes. C: m × n, n even. Grid: at most one block a multiprocessor.

#define TILE_ROWS 128
#define TILE_COLUMNS 256
#define DEPTH LINE
#define THREADS (3 * GROUP)
// Rows of tiles that are gone through together: with 132 tiles under way, they span about as many rows as columns.
#define BAND 16

#define LEFT_BYTES (TILE_ROWS * DEPTH * 2u)
#define RIGHT_BYTES (TILE_COLUMNS * DEPTH * 2u)
// A part of B: 64 products deep, a line wide.
#define PART_BYTES (DEPTH * LINE * 2u)

struct Place {
    unsigned row;
    unsigned column;
};

DEVICE Place place_of(unsigned tile, unsigned down, unsigned across) {
    const unsigned band = tile / (BAND * across), place = tile % (BAND * across);
    const unsigned height = min(down - band * BAND, static_cast<unsigned>(BAND));
    return {(band * BAND + place % height) * TILE_ROWS, place / height * TILE_COLUMNS};
}

KERNEL(THREADS) gemm_hopper(float* __restrict__ c, TENSOR_MAP a, TENSOR_MAP b, unsigned m, unsigned n, unsigned k) {
    TILES_SHARED(shared);
    unsigned char* lefts = shared;
    unsigned char* rights = lefts + STAGES * LEFT_BYTES;
    u64_t* full = reinterpret_cast<u64_t*>(rights + STAGES * RIGHT_BYTES);
    u64_t* empty = full + STAGES;
    const unsigned down = (m + TILE_ROWS - 1) / TILE_ROWS, across = (n + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const unsigned tiles = down * across, slices = (k + DEPTH - 1) / DEPTH;
    // The same in all lanes, which the compiler sees this way.
    const unsigned group = __shfl_sync(FULL_WARP, threadIdx.x / GROUP, 0);

    if (threadIdx.x == 0) {
        for (unsigned stage = 0; stage < STAGES; ++stage) {
            barrier_prepare(full + stage, 1);
            // Each of the eight warps that multiply.
            barrier_prepare(empty + stage, 8);
        }
        barriers_known();
    }
    __syncthreads();

    if (group == 0) {
        release_registers<40>();
        if (threadIdx.x == 0) {
            prefetch_map(&a);
            prefetch_map(&b);
            unsigned stage = 0, round = 0;
            for (unsigned tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
                const Place place = place_of(tile, down, across);
                for (unsigned slice = 0; slice < slices; ++slice) {
                    barrier_wait(empty + stage, round ^ 1);
                    barrier_expect(full + stage, LEFT_BYTES + RIGHT_BYTES);
                    load_box(lefts + stage * LEFT_BYTES, &a, full + stage, slice * DEPTH, place.row, 0);
#pragma unroll
                    for (unsigned part = 0; part < TILE_COLUMNS / LINE; ++part) {
                        load_box(rights + stage * RIGHT_BYTES + part * PART_BYTES, &b, full + stage, place.column + part * LINE,
                                 slice * DEPTH, 0);
                    }
                    if (++stage == STAGES) {
                        stage = 0;
                        round ^= 1;
                    }
                }
            }
        }
    } else {
        claim_registers<232>();
        const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x % GROUP / WARP;
        unsigned stage = 0, round = 0;
        for (unsigned tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
            const Place place = place_of(tile, down, across);
            float sums[128];
            for (unsigned slice = 0; slice < slices; ++slice) {
                barrier_wait(full + stage, round);
                const u64_t left = operand(lefts + stage * LEFT_BYTES + (group - 1) * (LEFT_BYTES / 2), 0, PATTERN_BYTES);
                const u64_t right = operand(rights + stage * RIGHT_BYTES, PART_BYTES, PATTERN_BYTES);
                pin(sums);
                products_fence();
#pragma unroll
                for (unsigned step = 0; step < DEPTH / 16; ++step) {
                    // 16 products further: 32 bytes in a line of A, two groups of eight lines of B.
                    multiply_tiles(sums, further(left, step * 32), further(right, step * 2 * PATTERN_BYTES), slice > 0 || step > 0);
                }
                products_commit();
                products_wait<1>();
                pin(sums);
                // The slice before this one is used up.
                if (slice > 0 && lane == 0) {
                    barrier_arrive(empty + (stage == 0 ? STAGES : stage) - 1);
                }
                if (++stage == STAGES) {
                    stage = 0;
                    round ^= 1;
                }
            }
            products_wait<0>();
            pin(sums);
            if (lane == 0) {
                barrier_arrive(empty + (stage == 0 ? STAGES : stage) - 1);
            }
#pragma unroll
            for (unsigned half = 0; half < 2; ++half) {
                const unsigned row = place.row + (group - 1) * 64 + warp * 16 + half * 8 + lane / 4;
                float* to = c + static_cast<u64_t>(row) * n;
#pragma unroll
                for (unsigned part = 0; part < TILE_COLUMNS / 8; ++part) {
                    const unsigned column = place.column + part * 8 + lane % 4 * 2;
                    if (row < m && column < n) {
                        *reinterpret_cast<float2*>(to + column) = float2{sums[part * 4 + half * 2], sums[part * 4 + half * 2 + 1]};
                    }
                }
            }
        }
    }
}
