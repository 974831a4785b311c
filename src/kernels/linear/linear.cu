// φ(Q)·(φ(K)ᵀ·V) / φ(Q)·Σφ(K) with φ(x) = elu(x) + 1, on tensor cores.
//
// `state` computes φ(K)ᵀ·V of a share of the keys; Σφ(K) is its product with one more column, of ones. `join` adds the shares
// and rounds the state to bfloat16. `output` multiplies φ(Q) by it; the column of ones gives the divisor.
//
// Macros: HEAD (dim filled up to a multiple of 16, at most 128), WARPS, ALIGNED (dim is a multiple of 8).
// Q, K, V, O: heads × seq × dim. Parts: heads × shares × HEAD × (HEAD + 8). States: heads × HEAD × (HEAD + 16).

#define THREADS (WARPS * WARP)
#define KEYS 64
#define QUERIES (WARPS * 16)
#define WIDE (HEAD + 8)
#define PLACE (HEAD + 16)
#define ONES 0x3f803f80u

DEVICE float feature(float x) {
    return x > 0.0f ? x + 1.0f : exp2_fast(x * LOG2_E);
}

// φ of two numbers, rounded again.
DEVICE unsigned features(unsigned pair) {
    return pack_bf16(feature(__int_as_float(static_cast<int>(pair << 16))),
                     feature(__int_as_float(static_cast<int>(pair & 0xffff0000u))));
}

// Grid: (shares, heads). A warp computes rows of the state: 16 features each, in turn.
KERNEL(THREADS) state(const bf16_t* __restrict__ k, const bf16_t* __restrict__ v, float* __restrict__ parts, unsigned seq, unsigned dim) {
    DYNAMIC_SHARED(shared);
    bf16_t* keys = reinterpret_cast<bf16_t*>(shared);
    bf16_t* values = keys + TILE_ELEMENTS(KEYS, HEAD);
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const u64_t offset = static_cast<u64_t>(blockIdx.y) * seq * dim;
    constexpr int ROW_TILES = (HEAD / 16 + WARPS - 1) / WARPS;
    float sums[ROW_TILES][HEAD / 8 + 1][4] = {};

    for (u64_t first = static_cast<u64_t>(blockIdx.x) * KEYS; first < seq; first += static_cast<u64_t>(gridDim.x) * KEYS) {
        __syncthreads();
        load_tile<KEYS, HEAD, THREADS, ALIGNED>(keys, k + offset, first, seq, dim);
        load_tile<KEYS, HEAD, THREADS, ALIGNED>(values, v + offset, first, seq, dim);
        copy_commit();
        copy_wait<0>();
        __syncthreads();
#pragma unroll
        for (int step = 0; step < KEYS / 16; ++step) {
            unsigned left[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; ++m) {
                const unsigned row = min(m * WARPS + warp, static_cast<unsigned>(HEAD / 16 - 1));
                // Matrices 0 to 3 of the left operand: features in the lower bit, keys in the upper one.
                const unsigned key = step * 16 + lane % 8 + lane / 16 * 8;
                load_matrices_transposed(left[m], keys + chunk_at<HEAD>(key, row * 2 + lane / 8 % 2));
#pragma unroll
                for (int part = 0; part < 4; ++part) {
                    left[m][part] = features(left[m][part]);
                    // Keys behind the end have features of zero, which φ(0) = 1 is not.
                    const u64_t at = first + step * 16 + part / 2 * 8 + lane % 4 * 2;
                    if (at + 1 >= seq) {
                        left[m][part] = at >= seq ? 0u : left[m][part] & 0xffffu;
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < HEAD / 16; ++n) {
                unsigned right[4];
                load_matrices_transposed(right, values + chunk_at<HEAD>(step * 16 + lane % 16, n * 2 + lane / 16));
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m) {
                    multiply_bf16(sums[m][2 * n], left[m], right[0], right[1]);
                    multiply_bf16(sums[m][2 * n + 1], left[m], right[2], right[3]);
                }
            }
            const unsigned ones = lane / 4 == 0 ? ONES : 0u;
#pragma unroll
            for (int m = 0; m < ROW_TILES; ++m) {
                multiply_bf16(sums[m][HEAD / 8], left[m], ones, ones);
            }
        }
    }
    float* to = parts + (static_cast<u64_t>(blockIdx.y) * gridDim.x + blockIdx.x) * HEAD * WIDE;
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m) {
        const unsigned tile = m * WARPS + warp;
        if (tile >= HEAD / 16) {
            continue;
        }
#pragma unroll
        for (int n = 0; n < HEAD / 8 + 1; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                to[(tile * 16 + lane / 4 + e / 2 * 8) * WIDE + n * 8 + lane % 4 * 2 + e % 2] = sums[m][n][e];
            }
        }
    }
}

// One block a row of a state: HEAD rows a head. Features beyond dim are none.
KERNEL(128) join(const float* __restrict__ parts, bf16_t* __restrict__ states, unsigned shares, unsigned dim) {
    const unsigned head = blockIdx.x / HEAD, row = blockIdx.x % HEAD;
    for (unsigned column = threadIdx.x; column < PLACE; column += 128) {
        float sum = 0.0f;
#pragma unroll 8
        for (unsigned share = 0; share < shares && column < WIDE && row < dim; ++share) {
            sum += parts[((static_cast<u64_t>(head) * shares + share) * HEAD + row) * WIDE + column];
        }
        states[static_cast<u64_t>(blockIdx.x) * PLACE + column] = narrow(sum);
    }
}

// Grid: heads × tiles of queries, in one dimension.
KERNEL(THREADS) output(const bf16_t* __restrict__ q, const bf16_t* __restrict__ states, bf16_t* __restrict__ o, unsigned seq, unsigned dim) {
    DYNAMIC_SHARED(shared);
    bf16_t* queries = reinterpret_cast<bf16_t*>(shared);
    bf16_t* held = queries + TILE_ELEMENTS(QUERIES, HEAD);
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned tiles = (seq + QUERIES - 1) / QUERIES;
    const unsigned head = blockIdx.x / tiles, query = blockIdx.x % tiles * QUERIES;
    const u64_t offset = static_cast<u64_t>(head) * seq * dim;
    load_tile<QUERIES, HEAD, THREADS, ALIGNED>(queries, q + offset, query, seq, dim);
    load_tile<HEAD, PLACE, THREADS, true>(held, states + static_cast<u64_t>(head) * HEAD * PLACE, 0, HEAD, PLACE);
    copy_commit();
    copy_wait<0>();
    __syncthreads();

    float sums[PLACE / 8][4] = {};
#pragma unroll
    for (int step = 0; step < HEAD / 16; ++step) {
        unsigned left[4];
        load_matrices(left, queries + chunk_at<HEAD>(warp * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
        for (int part = 0; part < 4; ++part) {
            left[part] = features(left[part]);
        }
#pragma unroll
        for (int n = 0; n < PLACE / 16; ++n) {
            unsigned right[4];
            load_matrices_transposed(right, held + chunk_at<PLACE>(step * 16 + lane % 16, n * 2 + lane / 16));
            multiply_bf16(sums[2 * n], left, right[0], right[1]);
            multiply_bf16(sums[2 * n + 1], left, right[2], right[3]);
        }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        // The divisor lies in column HEAD: with the first lane of the four that hold a row.
        const float divisor = __shfl_sync(FULL_WARP, sums[HEAD / 8][2 * half], static_cast<int>(lane / 4 * 4));
        const unsigned row = query + warp * 16 + half * 8 + lane / 4;
#pragma unroll
        for (int n = 0; n < HEAD / 8; ++n) {
            const unsigned column = n * 8 + lane % 4 * 2;
            const unsigned pair = pack_bf16(sums[n][2 * half] / divisor, sums[n][2 * half + 1] / divisor);
            bf16_t* to = o + offset + static_cast<u64_t>(row) * dim + column;
            if (row < seq && column < dim) {
                if (ALIGNED) {
                    *reinterpret_cast<unsigned*>(to) = pair;
                } else {
                    to[0] = static_cast<bf16_t>(pair & 0xffffu);
                    if (column + 1 < dim) {
                        to[1] = static_cast<bf16_t>(pair >> 16);
                    }
                }
            }
        }
    }
}
