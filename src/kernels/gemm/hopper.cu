// C = A·B in the types of Hopper's tensor cores: a block makes tiles of 128×256 results, one after another.
//
// One warpgroup keeps STAGES slices of A and B coming into shared memory, two multiply them, 64 rows each, and store. While
// these store a tile, the slices of the next arrive. A slice has 128 bytes of each row of A. The structure is that of
// CUTLASS's warp-specialised persistent kernels (Hopper, "cooperative").
//
// Elements of 16 bits are read from B as it lies, with n innermost. Those of other sizes need B transposed, which a launch before this
// one makes (turn.cu).
//
// Macros: STAGES, KIND (0: bfloat16, 1: binary16, 2: bytes, 3: e4m3, 4: TF32). Maps: A as k × m with boxes of 128 bytes by 128 rows; B
// as n × k with boxes of 128 bytes by 64 rows, or transposed as k × n with boxes of 128 bytes by 256 rows; both need rows of multiples
// of 16 bytes. C: m × n, n even. Grid: at most one block a multiprocessor.

#define TILE_ROWS 128
#define TILE_COLUMNS 256
#if KIND == 0
#define MULTIPLY multiply_tiles
#elif KIND == 1
#define MULTIPLY multiply_tiles_f16
#elif KIND == 2
#define MULTIPLY multiply_tiles_i8
#elif KIND == 3
#define MULTIPLY multiply_tiles_f8
#else
#define MULTIPLY multiply_tiles_tf32
#endif
// Whether B is transposed, products of a slice, sums and pairs of them.
#define TURNED (KIND > 1)
#if KIND == 4
#define DEPTH (LINE_BYTES / 4)
#elif TURNED
#define DEPTH LINE_BYTES
#else
#define DEPTH (LINE_BYTES / 2)
#endif
#if KIND == 2
typedef int RESULT;
typedef int2 PAIR;
#else
typedef float RESULT;
typedef float2 PAIR;
#endif
#define THREADS (3 * GROUP)
// Rows of tiles that are gone through together: with 132 tiles under way, they span about as many rows as columns.
#define BAND 16

#define LEFT_BYTES (TILE_ROWS * LINE_BYTES)
#define RIGHT_BYTES (TILE_COLUMNS * LINE_BYTES)
// A part of B as it lies: 64 products deep, a line wide.
#define PART_BYTES (DEPTH * LINE_BYTES)

struct Place {
    unsigned row;
    unsigned column;
};

DEVICE Place place_of(unsigned tile, unsigned down, unsigned across) {
    const unsigned band = tile / (BAND * across), place = tile % (BAND * across);
    const unsigned height = min(down - band * BAND, static_cast<unsigned>(BAND));
    return {(band * BAND + place % height) * TILE_ROWS, place / height * TILE_COLUMNS};
}

KERNEL(THREADS) gemm_hopper(RESULT* __restrict__ c, TENSOR_MAP a, TENSOR_MAP b, unsigned m, unsigned n, unsigned k) {
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
#if TURNED
                    load_box(rights + stage * RIGHT_BYTES, &b, full + stage, slice * DEPTH, place.column, 0);
#else
#pragma unroll
                    for (unsigned part = 0; part < TILE_COLUMNS / LINE; ++part) {
                        load_box(rights + stage * RIGHT_BYTES + part * PART_BYTES, &b, full + stage, place.column + part * LINE,
                                 slice * DEPTH, 0);
                    }
#endif
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
            RESULT sums[128];
            for (unsigned slice = 0; slice < slices; ++slice) {
                barrier_wait(full + stage, round);
                const u64_t left = operand(lefts + stage * LEFT_BYTES + (group - 1) * (LEFT_BYTES / 2), 0, PATTERN_BYTES);
#if TURNED
                const u64_t right = operand(rights + stage * RIGHT_BYTES, 0, PATTERN_BYTES);
#else
                const u64_t right = operand(rights + stage * RIGHT_BYTES, PART_BYTES, PATTERN_BYTES);
#endif
                pin(sums);
                products_fence();
#pragma unroll
                for (unsigned step = 0; step < LINE_BYTES / 32; ++step) {
                    // 32 bytes further in a line of A, and of B transposed; as it lies, 16 products are two groups of eight lines.
#if TURNED
                    const u64_t next = further(right, step * 32);
#else
                    const u64_t next = further(right, step * 2 * PATTERN_BYTES);
#endif
                    MULTIPLY(sums, further(left, step * 32), next, slice > 0 || step > 0);
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
                RESULT* to = c + static_cast<u64_t>(row) * n;
#pragma unroll
                for (unsigned part = 0; part < TILE_COLUMNS / 8; ++part) {
                    const unsigned column = place.column + part * 8 + lane % 4 * 2;
                    if (row < m && column < n) {
                        *reinterpret_cast<PAIR*>(to + column) = PAIR{sums[part * 4 + half * 2], sums[part * 4 + half * 2 + 1]};
                    }
                }
            }
        }
    }
}
