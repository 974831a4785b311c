// softmax(q·Kᵀ/√key)·V of one query of each head, where all heads share one row a token and a value is the front of its row
// (DeepSeek-V2, 2024, absorbed form), in bfloat16 on tensor cores, split over the tokens. `join.cu` puts the shares together.
//
// Sixteen heads are the rows of a tile, so a token's row, once in shared memory, serves them all and both products. Of a tile of
// tokens each warp computes the scores of eight; weights go through shared memory, rounded to bfloat16, and each warp multiplies
// them by its columns of the values.
//
// Macros: KEY (elements of a row, filled up to a multiple of 32), VALUE (elements of a value, to a multiple of 16), TOKENS (of a
// tile), KEEP (whether the queries stay in registers), ALIGNED (key is a multiple of 8).
// Rows: len × key. Queries: heads × key. Parts: heads × shares × (value + 2). Grid: shares × tiles of heads.

#define HEADS 16
#define WARPS (TOKENS / 8)
#define THREADS (WARPS * WARP)
#define STEPS (KEY / 16)
// Groups of 16 columns of a warp.
#define GROUPS ((VALUE / 16 + WARPS - 1) / WARPS)

// What the warps tell each other of a row of scores.
struct Row {
    float tops[WARPS];
    float totals[WARPS];
};

DEVICE void load_queries(unsigned (&to)[4], const bf16_t* queries, unsigned step, unsigned lane) {
    load_matrices(to, queries + chunk_at<KEY>(lane % 16, step * 2 + lane / 16));
}

KERNEL(THREADS) latent(const bf16_t* __restrict__ rows, const bf16_t* __restrict__ queries, float* __restrict__ parts,
                       unsigned heads, unsigned len, unsigned key, unsigned value, float scale) {
    DYNAMIC_SHARED(shared);
    __shared__ Row exchange[HEADS];
    const unsigned tile = TILE_ELEMENTS(TOKENS, KEY);
    bf16_t* held = reinterpret_cast<bf16_t*>(shared);
    bf16_t* weights = held + TILE_ELEMENTS(HEADS, KEY);
    bf16_t* tiles = weights + TILE_ELEMENTS(HEADS, TOKENS);

    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned bundles = (heads + HEADS - 1) / HEADS;
    const unsigned first_head = blockIdx.x % bundles * HEADS;
    const unsigned place = blockIdx.x / bundles, shares = gridDim.x / bundles;
    const unsigned count = (len + TOKENS - 1) / TOKENS;
    const float factor = scale * LOG2_E;

    load_tile<HEADS, KEY, THREADS, ALIGNED>(held, queries, first_head, heads, key);
    load_tile<TOKENS, KEY, THREADS, ALIGNED>(tiles, rows, place * TOKENS, len, key);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    unsigned left[KEEP ? STEPS : 1][4];
    if (KEEP) {
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
            load_queries(left[KEEP ? step : 0], held, step, lane);
        }
    }

    float output[GROUPS][2][4] = {};
    float top[2] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY}, total[2] = {0.0f, 0.0f};
    unsigned stage = 0;
    for (unsigned index = place; index < count; index += shares, stage ^= 1) {
        copy_wait<0>();
        __syncthreads();
        const bf16_t* own = tiles + stage * tile;
        if (index + shares < count) {
            load_tile<TOKENS, KEY, THREADS, ALIGNED>(tiles + (stage ^ 1) * tile, rows, (index + shares) * TOKENS, len, key);
            copy_commit();
        }

        // Two sums, so that a product need not wait for the one before.
        float scores[2][4] = {};
#pragma unroll
        for (int step = 0; step < STEPS; step += 2) {
            unsigned right[4];
            load_matrices(right, own + chunk_at<KEY>(warp * 8 + lane % 8, step * 2 + lane / 8));
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                if (!KEEP) {
                    load_queries(left[0], held, step + half, lane);
                }
                multiply_bf16(scores[half], left[KEEP ? step + half : 0], right[2 * half], right[2 * half + 1]);
            }
        }
        const unsigned token = index * TOKENS + warp * 8 + lane % 4 * 2;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float* score = &scores[0][2 * half];
            score[0] = token < len ? score[0] + scores[1][2 * half] : NEGATIVE_INFINITY;
            score[1] = token + 1 < len ? score[1] + scores[1][2 * half + 1] : NEGATIVE_INFINITY;
            const float highest = quad_max(fmaxf(score[0], score[1]));
            if (lane % 4 == 0) {
                exchange[half * 8 + lane / 4].tops[warp] = highest;
            }
        }
        __syncthreads();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const unsigned row = half * 8 + lane / 4;
            float highest = top[half];
#pragma unroll
            for (int other = 0; other < WARPS; ++other) {
                highest = fmaxf(highest, exchange[row].tops[other]);
            }
            const float shrink = exp2_fast((top[half] - highest) * factor);
            top[half] = highest;
            float* score = &scores[0][2 * half];
            score[0] = exp2_fast((score[0] - highest) * factor);
            score[1] = exp2_fast((score[1] - highest) * factor);
            total[half] = total[half] * shrink + score[0] + score[1];
            *(reinterpret_cast<unsigned*>(weights + chunk_at<TOKENS>(row, warp)) + lane % 4) = pack_bf16(score[0], score[1]);
#pragma unroll
            for (int group = 0; group < GROUPS; ++group) {
#pragma unroll
                for (int part = 0; part < 2; ++part) {
                    output[group][part][2 * half] *= shrink;
                    output[group][part][2 * half + 1] *= shrink;
                }
            }
        }
        __syncthreads();

#pragma unroll
        for (int step = 0; step < TOKENS / 16; ++step) {
            unsigned weight[4];
            load_matrices(weight, weights + chunk_at<TOKENS>(lane % 16, step * 2 + lane / 16));
#pragma unroll
            for (int group = 0; group < GROUPS; ++group) {
                // Groups behind the last repeat it and are not stored.
                const unsigned column = min(warp + group * WARPS, static_cast<unsigned>(VALUE / 16 - 1));
                unsigned right[4];
                load_matrices_transposed(right, own + chunk_at<KEY>(step * 16 + lane % 16, column * 2 + lane / 16));
                multiply_bf16(output[group][0], weight, right[0], right[1]);
                multiply_bf16(output[group][1], weight, right[2], right[3]);
            }
        }
    }

#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const float sum = quad_sum(total[half]);
        if (lane % 4 == 0) {
            exchange[half * 8 + lane / 4].totals[warp] = sum;
        }
    }
    __syncthreads();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const unsigned row = half * 8 + lane / 4;
        if (first_head + row >= heads) {
            continue;
        }
        float* to = parts + (static_cast<u64_t>(first_head + row) * shares + place) * (value + 2);
        if (warp == 0 && lane % 4 == 0) {
            float sum = 0.0f;
            for (int other = 0; other < WARPS; ++other) {
                sum += exchange[row].totals[other];
            }
            to[value] = top[half];
            to[value + 1] = sum;
        }
#pragma unroll
        for (int group = 0; group < GROUPS; ++group) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const unsigned column = (warp + group * WARPS) * 16 + e / 2 * 8 + lane % 4 * 2 + e % 2;
                if (column < value) {
                    to[column] = output[group][e / 2][2 * half + e % 2];
                }
            }
        }
    }
}
