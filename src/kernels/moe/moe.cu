// A mixture of SwiGLU experts: each expert's tokens, wherever they lie, go through two products with its weights.
//
// The slots of an expert (a slot is a token at one of its experts) are cut into tiles of ROWS, so that experts of uneven load
// waste less than a tile each; the list of the tiles is made before, for the routing is an input. `grouped` with UP gathers tokens,
// multiplies them by G and U side by side, and turns the two sums of a unit, which one thread holds, into the hidden unit; without
// UP it multiplies hidden units by D. `combine` adds the outputs of a token's slots, weighted by its gates.
//
// Macros: TENSOR (1: bfloat16 on tensor cores, 0: binary32 on FMA units), UP, ROWS, COLUMNS (of a tile), WARP_ROWS, WARP_COLUMNS
// (tile of a warp), DEPTH, STAGES, ALIGNED (d and f are multiples of 8).
// X: tokens × d. up: experts × d × 2f. down: experts × f × d. tiles: pairs of expert and first slot; an expert that does not
// exist marks a tile that is not there. expert_ptr: experts + 1. tokens: slots. hidden: slots × f. slots: slots × d.

#if TENSOR
typedef bf16_t NUMBER;
#define CHUNK 8
#define THREADS (ROWS / WARP_ROWS * (COLUMNS / WARP_COLUMNS) * WARP)
#define PLACE(width, row, chunk) chunk_at<width>(row, chunk)
#define LEFT_SIZE TILE_ELEMENTS(ROWS, DEPTH)
#define RIGHT_SIZE TILE_ELEMENTS(DEPTH, COLUMNS)
#define LEFT_PLACE(row, chunk) chunk_at<DEPTH>(row, chunk)
#else
typedef float NUMBER;
#define CHUNK 4
#define THREADS (ROWS / SIDE_OF_THREAD * (COLUMNS / SIDE_OF_THREAD))
#define PLACE(width, row, chunk) ((row) * (width) + (chunk) * CHUNK)
#define LEFT_SIZE (ROWS * (DEPTH + CHUNK))
#define RIGHT_SIZE (DEPTH * COLUMNS)
#define LEFT_PLACE(row, chunk) PLACE(DEPTH + CHUNK, row, chunk)
#endif
// Tiles of rows that are gone through together.
#define BAND 16
#define NO_EXPERT 0xffffffffu
// Chunks of rows that a thread copies.
#define COPIES ((ROWS * (DEPTH / CHUNK) + THREADS - 1) / THREADS)
#define COMBINERS 256

// silu(g)·u.
DEVICE float swiglu(float g, float u) {
    return g * u / (1.0f + exp2_fast(-LOG2_E * g));
}

// Where the chunks of rows that the thread copies begin, and whether there is one. They are the same in every slice.
struct Rows {
    const NUMBER* from[COPIES];
    bool inside[COPIES];
};

// `length` products; `width` columns of the tile's half, or of the tile, exist from `column` on.
DEVICE void load_slice(NUMBER* left, NUMBER* right, const Rows& rows, const NUMBER* weights, unsigned slice, unsigned length,
                       unsigned column, unsigned width) {
#pragma unroll
    for (int copy = 0; copy < COPIES; ++copy) {
        const unsigned index = threadIdx.x + copy * THREADS;
        if (ROWS * (DEPTH / CHUNK) % THREADS == 0 || index < ROWS * (DEPTH / CHUNK)) {
            const unsigned row = index / (DEPTH / CHUNK), chunk = index % (DEPTH / CHUNK);
            const unsigned at = slice * DEPTH + chunk * CHUNK;
            const bool inside = rows.inside[copy] && at < length;
            copy_sixteen<ALIGNED>(left + LEFT_PLACE(row, chunk), rows.from[copy] + (inside ? at : 0), inside, length - at);
        }
    }
#pragma unroll 4
    for (unsigned index = threadIdx.x; index < DEPTH * (COLUMNS / CHUNK); index += THREADS) {
        const unsigned depth = index / (COLUMNS / CHUNK), chunk = index % (COLUMNS / CHUNK), product = slice * DEPTH + depth;
#if UP
        // Columns of G in the first half, those of U in the second.
        const unsigned second = chunk >= COLUMNS / CHUNK / 2, at = column + (chunk - second * (COLUMNS / CHUNK / 2)) * CHUNK;
        const u64_t row = static_cast<u64_t>(product) * 2 * width + second * width;
#else
        const unsigned at = column + chunk * CHUNK;
        const u64_t row = static_cast<u64_t>(product) * width;
#endif
        const bool inside = product < length && at < width;
        copy_sixteen<ALIGNED>(right + PLACE(COLUMNS, depth, chunk), weights + (inside ? row + at : 0), inside, width - at);
    }
}

KERNEL(THREADS) grouped(const NUMBER* __restrict__ given, const NUMBER* __restrict__ weights, const unsigned* __restrict__ tiles,
                        const unsigned* __restrict__ expert_ptr, const unsigned* __restrict__ tokens,
#if UP
                        NUMBER* __restrict__ to,
#else
                        float* __restrict__ to,
#endif
                        unsigned down, unsigned length, unsigned width) {
    DYNAMIC_SHARED(shared);
    NUMBER* lefts = reinterpret_cast<NUMBER*>(shared);
    NUMBER* rights = lefts + STAGES * LEFT_SIZE;
    // A tile of G and U has half as many columns of either.
    const unsigned across = (width + COLUMNS / (1 + UP) - 1) / (COLUMNS / (1 + UP));
    const unsigned band = blockIdx.x / (BAND * across), place = blockIdx.x % (BAND * across);
    const unsigned height = min(down - band * BAND, static_cast<unsigned>(BAND));
    const unsigned tile = band * BAND + place % height, column = place / height * (COLUMNS / (1 + UP));
    const unsigned expert = tiles[2 * tile];
    if (expert == NO_EXPERT) {
        return;
    }
    const unsigned first = tiles[2 * tile + 1], slots = min(expert_ptr[expert + 1] - first, static_cast<unsigned>(ROWS));
    const NUMBER* own = weights + static_cast<u64_t>(expert) * length * width * (1 + UP);
    const unsigned slices = (length + DEPTH - 1) / DEPTH;
    Rows rows;
#pragma unroll
    for (int copy = 0; copy < COPIES; ++copy) {
        const unsigned row = (threadIdx.x + copy * THREADS) / (DEPTH / CHUNK);
        rows.inside[copy] = row < slots;
        const unsigned slot = first + min(row, slots - 1);
        rows.from[copy] = given + static_cast<u64_t>(UP ? tokens[slot] : slot) * length;
    }
    for (unsigned stage = 0; stage < STAGES - 1; ++stage) {
        if (stage < slices) {
            load_slice(lefts + stage * LEFT_SIZE, rights + stage * RIGHT_SIZE, rows, own, stage, length, column, width);
        }
        copy_commit();
    }
#if TENSOR
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const unsigned own_row = warp / (COLUMNS / WARP_COLUMNS) * WARP_ROWS;
    const unsigned own_column = warp % (COLUMNS / WARP_COLUMNS) * (WARP_COLUMNS / (1 + UP));
    float sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};
#else
    __align__(16) float sums[SIDE_OF_THREAD][SIDE_OF_THREAD] = {};
#endif
    for (unsigned slice = 0; slice < slices; ++slice) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        const unsigned ahead = slice + STAGES - 1;
        if (ahead < slices) {
            load_slice(lefts + ahead % STAGES * LEFT_SIZE, rights + ahead % STAGES * RIGHT_SIZE, rows, own, ahead, length,
                       column, width);
        }
        copy_commit();
        const NUMBER* left = lefts + slice % STAGES * LEFT_SIZE;
        const NUMBER* right = rights + slice % STAGES * RIGHT_SIZE;
#if TENSOR
        multiply_slice<false, ROWS, COLUMNS, DEPTH>(sums, left, right, own_row, own_column,
                                                    UP ? COLUMNS / 2 - WARP_COLUMNS / 2 : 0);
#else
        accumulate_slice<false, ROWS, COLUMNS, DEPTH>(sums, left, right);
#endif
    }
#if TENSOR
#pragma unroll
    for (int i = 0; i < WARP_ROWS / 16; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const unsigned at = own_row + i * 16 + half * 8 + lane / 4;
            if (at < slots) {
#pragma unroll
                for (int j = 0; j < WARP_COLUMNS / 8 / (1 + UP); ++j) {
                    const unsigned unit = column + own_column + j * 8 + lane % 4 * 2;
                    float x = sums[i][j][2 * half], y = sums[i][j][2 * half + 1];
#if UP
                    x = swiglu(x, sums[i][j + WARP_COLUMNS / 16][2 * half]);
                    y = swiglu(y, sums[i][j + WARP_COLUMNS / 16][2 * half + 1]);
#endif
                    store_pair<ALIGNED>(to + static_cast<u64_t>(first + at) * width, unit, width, x, y);
                }
            }
        }
    }
#else
    const unsigned lower = threadIdx.x / (COLUMNS / SIDE_OF_THREAD), right = threadIdx.x % (COLUMNS / SIDE_OF_THREAD);
#pragma unroll
    for (int i = 0; i < SIDE_OF_THREAD; ++i) {
        const unsigned at = spread<float>(lower, i, ROWS);
        if (at < slots) {
            float* row = to + static_cast<u64_t>(first + at) * width;
#pragma unroll
            for (int j = 0; j < SIDE_OF_THREAD / (1 + UP); j += CHUNK) {
#if UP
                // The second half of a thread's columns lies in the second half of the tile.
                for (int e = 0; e < CHUNK; ++e) {
                    sums[i][j + e] = swiglu(sums[i][j + e], sums[i][j + e + SIDE_OF_THREAD / 2]);
                }
#endif
                store_sixteen<ALIGNED>(row, column + spread<float>(right, j, COLUMNS), width, &sums[i][j]);
            }
        }
    }
#endif
}

// y = Σ gate·slot over the slots of a token. `slots_of`: tokens × top. A thread computes neighbours, two or, where they may not
// exist, one at a time.
KERNEL(COMBINERS) combine(const float* __restrict__ slots, const unsigned* __restrict__ slots_of,
                          const float* __restrict__ gates, NUMBER* __restrict__ y, unsigned d, unsigned top) {
    const unsigned token = blockIdx.x;
    for (unsigned first = threadIdx.x * 2; first < d; first += COMBINERS * 2) {
        float x = 0.0f, next = 0.0f;
        for (unsigned choice = 0; choice < top; ++choice) {
            const unsigned slot = slots_of[token * top + choice];
            const float gate = gates[slot];
            const float* row = slots + static_cast<u64_t>(slot) * d;
            if (ALIGNED) {
                const float2 both = *reinterpret_cast<const float2*>(row + first);
                x = fmaf(gate, both.x, x);
                next = fmaf(gate, both.y, next);
            } else {
                x = fmaf(gate, row[first], x);
                next = first + 1 < d ? fmaf(gate, row[first + 1], next) : 0.0f;
            }
        }
        store_pair<ALIGNED>(y + static_cast<u64_t>(token) * d, first, d, x, next);
    }
}
