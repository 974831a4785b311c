// softmax(Q·Kᵀ/√dim)·V on tensor cores, for one tile of queries of one head a block.
//
// Scores stay in registers: the accumulator of Q·Kᵀ has the layout of the left operand of the next product, so weights
// only have to be rounded to bfloat16. Tiles of keys and values are copied while the tile before them is used. Sums
// made with an earlier maximum are rescaled (Milakov and Gimelshein, 2018; Dao, FlashAttention-2, 2023).
//
// Macros: HEAD (dim filled up to a multiple of 16), WARPS, ROW_TILES (tiles of 16 queries of a warp), KEYS (keys of a
// tile, a multiple of 16), ALIGNED (dim is a multiple of 8), MASK (walk.cu).
// Q, K, V, O: heads × seq × dim. Grid: heads × tiles of queries, in one dimension.

#define THREADS (WARPS * WARP)
#define ROWS (16 * ROW_TILES)
#define QUERIES (WARPS * ROWS)

KERNEL(THREADS) attention(const bf16_t* __restrict__ q, const bf16_t* __restrict__ k, const bf16_t* __restrict__ v,
                          const unsigned* __restrict__ columns, bf16_t* __restrict__ o, unsigned seq, unsigned dim,
                          unsigned limit, unsigned visible, float scale) {
    DYNAMIC_SHARED(shared);
    const unsigned tile = TILE_ELEMENTS(KEYS, HEAD);
    bf16_t* queries = reinterpret_cast<bf16_t*>(shared);
    bf16_t* keys = queries + TILE_ELEMENTS(QUERIES, HEAD);
    bf16_t* values = keys + 2 * tile;

    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned tiles = (seq + QUERIES - 1) / QUERIES;
    const unsigned head = blockIdx.x / tiles;
    // The last queries of a causal mask have the most keys: they start first.
    const unsigned place = MASK == MASK_CAUSAL ? tiles - 1 - blockIdx.x % tiles : blockIdx.x % tiles;
    const unsigned query = place * QUERIES;
    const u64_t offset = static_cast<u64_t>(head) * seq * dim;
    q += offset;
    k += offset;
    v += offset;
    o += offset;

    const Walk walk = walk_of(head, query, QUERIES, seq, limit, columns, visible);
    load_tile<QUERIES, HEAD, THREADS, ALIGNED>(queries, q, query, seq, dim);
    load_tile<KEYS, HEAD, THREADS, ALIGNED>(keys, k, first_key(walk, 0), seq, dim);
    load_tile<KEYS, HEAD, THREADS, ALIGNED>(values, v, first_key(walk, 0), seq, dim);
    copy_commit();

    float output[ROW_TILES][HEAD / 8][4];
    float top[ROW_TILES][2], total[ROW_TILES][2];
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            top[m][half] = NEGATIVE_INFINITY;
            total[m][half] = 0.0f;
        }
#pragma unroll
        for (int n = 0; n < HEAD / 8; ++n) {
            output[m][n][0] = output[m][n][1] = output[m][n][2] = output[m][n][3] = 0.0f;
        }
    }
    const float factor = scale * LOG2_E;

    for (unsigned index = 0; index < walk.count; ++index) {
        copy_wait<0>();
        __syncthreads();
        const bf16_t* key_tile = keys + index % 2 * tile;
        const bf16_t* value_tile = values + index % 2 * tile;
        if (index + 1 < walk.count) {
            const unsigned next = first_key(walk, index + 1);
            load_tile<KEYS, HEAD, THREADS, ALIGNED>(keys + (index + 1) % 2 * tile, k, next, seq, dim);
            load_tile<KEYS, HEAD, THREADS, ALIGNED>(values + (index + 1) % 2 * tile, v, next, seq, dim);
            copy_commit();
        }

        float scores[ROW_TILES][KEYS / 8][4];
#pragma unroll
        for (int m = 0; m < ROW_TILES; ++m) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; ++n) {
                scores[m][n][0] = scores[m][n][1] = scores[m][n][2] = scores[m][n][3] = 0.0f;
            }
        }
#pragma unroll
        for (int step = 0; step < HEAD / 16; ++step) {
            unsigned left[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; ++m) {
                load_matrices(left[m], queries + chunk_at<HEAD>(warp * ROWS + m * 16 + lane % 16, step * 2 + lane / 16));
            }
#pragma unroll
            for (int n = 0; n < KEYS / 16; ++n) {
                unsigned right[4];
                load_matrices(right, key_tile + chunk_at<HEAD>(n * 16 + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m) {
                    multiply_bf16(scores[m][2 * n], left[m], right[0], right[1]);
                    multiply_bf16(scores[m][2 * n + 1], left[m], right[2], right[3]);
                }
            }
        }

        const unsigned first = first_key(walk, index);
#pragma unroll
        for (int m = 0; m < ROW_TILES; ++m) {
            const unsigned row = query + warp * ROWS + m * 16 + lane / 4;
            if (is_cut(query + warp * ROWS, ROWS, first, seq, limit)) {
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n) {
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        const unsigned key = first + n * 8 + lane % 4 * 2 + e % 2;
                        if (!sees(row + e / 2 * 8, key, seq, limit)) {
                            scores[m][n][e] = NEGATIVE_INFINITY;
                        }
                    }
                }
            }
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float highest = top[m][half];
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n) {
                    highest = fmaxf(highest, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
                }
                highest = quad_max(highest);
                // A row that has seen no key yet has no maximum: anything finite gives it weights of zero.
                const float base = highest == NEGATIVE_INFINITY ? 0.0f : highest * factor;
                const float shrink = exp2_fast(top[m][half] * factor - base);
                top[m][half] = highest;
                float sum = 0.0f;
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n) {
#pragma unroll
                    for (int e = 2 * half; e < 2 * half + 2; ++e) {
                        scores[m][n][e] = exp2_fast(fmaf(scores[m][n][e], factor, -base));
                        sum += scores[m][n][e];
                    }
                }
                total[m][half] = total[m][half] * shrink + sum;
#pragma unroll
                for (int n = 0; n < HEAD / 8; ++n) {
                    output[m][n][2 * half] *= shrink;
                    output[m][n][2 * half + 1] *= shrink;
                }
            }
        }

#pragma unroll
        for (int step = 0; step < KEYS / 16; ++step) {
            unsigned left[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; ++m) {
#pragma unroll
                for (int part = 0; part < 4; ++part) {
                    const float* weights = &scores[m][2 * step + part / 2][part % 2 * 2];
                    left[m][part] = pack_bf16(weights[0], weights[1]);
                }
            }
#pragma unroll
            for (int n = 0; n < HEAD / 16; ++n) {
                unsigned right[4];
                load_matrices_transposed(right, value_tile + chunk_at<HEAD>(step * 16 + lane % 16, n * 2 + lane / 16));
#pragma unroll
                for (int m = 0; m < ROW_TILES; ++m) {
                    multiply_bf16(output[m][2 * n], left[m], right[0], right[1]);
                    multiply_bf16(output[m][2 * n + 1], left[m], right[2], right[3]);
                }
            }
        }
    }

    // Through the warp's own rows of the tile of queries, so that stores are whole chunks.
    __syncwarp();
#pragma unroll
    for (int m = 0; m < ROW_TILES; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float inverse = 1.0f / quad_sum(total[m][half]);
            const unsigned row = warp * ROWS + m * 16 + half * 8 + lane / 4;
#pragma unroll
            for (int n = 0; n < HEAD / 8; ++n) {
                unsigned* to = reinterpret_cast<unsigned*>(queries + chunk_at<HEAD>(row, n)) + lane % 4;
                *to = pack_bf16(output[m][n][2 * half] * inverse, output[m][n][2 * half + 1] * inverse);
            }
        }
    }
    __syncwarp();
    for (unsigned index = lane; index < ROWS * (HEAD / 8); index += WARP) {
        const unsigned row = warp * ROWS + index / (HEAD / 8), chunk = index % (HEAD / 8);
        const bf16_t* from = queries + chunk_at<HEAD>(row, chunk);
        if (query + row >= seq || chunk * 8 >= dim) {
            continue;
        }
        bf16_t* to = o + static_cast<u64_t>(query + row) * dim + chunk * 8;
        if (ALIGNED) {
            *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
        } else {
            for (unsigned element = 0; element < 8 && chunk * 8 + element < dim; ++element) {
                to[element] = from[element];
            }
        }
    }
}
