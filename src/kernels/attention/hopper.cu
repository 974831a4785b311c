// softmax(Q·Kᵀ/√dim)·V on Hopper: a block goes through tiles of queries of heads, one after another.
//
// One warpgroup keeps STAGES tiles of keys and of values coming into shared memory. The others have 64 queries each: scores
// by products of shared memory, softmax in registers, then weights from registers times values. A warpgroup begins the
// scores of a tile together with the values of the tile before it and computes weights while these products run; and
// warpgroups take turns in beginning products, so that one computes weights while the others multiply. This structure is that
// of FlashAttention-3 (Shah, Bikshandi, Zhang, Thakkar, Ramani and Dao, 2024), sections 3.1 and 3.2. While answers of a tile are
// stored, the first keys and values of the next arrive.
//
// Under a causal mask the tiles with the most keys come first, over as many heads as the second cache holds, and every other round of
// tiles is handed out backwards, so that blocks end at about the same time.
//
// Macros: HEAD (dim: 64 or 128), WARPGROUPS (of 64 queries), KEYS (128), MASK (walk.cu). Maps: Q, K, V as dim × seq × heads
// with boxes of 64 elements by 64 queries, or by KEYS keys. O: heads × seq × dim. together: heads whose tiles take
// turns (causal). Grid: at most one block a multiprocessor.

#define STAGES 2
#define THREADS ((WARPGROUPS + 1) * GROUP)
#define QUERIES (WARPGROUPS * 64)
// Lines of a row.
#define PARTS (HEAD / LINE)
// Bytes of one line of 64 queries, of all of theirs, of one line of a tile of keys or values, and of the tile.
#define QUERY_PART (64 * LINE * 2u)
#define QUERY_BYTES (PARTS * QUERY_PART)
#define TILE_PART (KEYS * LINE * 2u)
#define TILE_BYTES (PARTS * TILE_PART)
// Registers of a thread that copies, and of one that computes: together those of a multiprocessor.
#define FEW (WARPGROUPS == 2 ? 24 : 32)
#define MANY (WARPGROUPS == 2 ? 240 : 160)

// Weights of one tile in place of its scores; rows lie in quads of lanes, two in each. `shrink`: what earlier sums are
// multiplied with, as they were made with an earlier maximum.
DEVICE void soften(float (&scores)[KEYS / 2], float (&top)[2], float (&total)[2], float (&shrink)[2], float factor) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float highest = top[half];
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n) {
            highest = fmaxf(highest, fmaxf(scores[4 * n + 2 * half], scores[4 * n + 2 * half + 1]));
        }
        highest = quad_max(highest);
        // A row that has seen no key yet has no maximum: anything finite gives it weights of zero.
        const float base = highest == NEGATIVE_INFINITY ? 0.0f : highest * factor;
        shrink[half] = exp2_fast(top[half] * factor - base);
        top[half] = highest;
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n) {
#pragma unroll
            for (int e = 4 * n + 2 * half; e < 4 * n + 2 * half + 2; ++e) {
                scores[e] = exp2_fast(fmaf(scores[e], factor, -base));
                sum += scores[e];
            }
        }
        total[half] = total[half] * shrink[half] + sum;
    }
}

// The registers of a product that hold weights.
DEVICE void pack(unsigned (&weights)[KEYS / 16][4], const float (&scores)[KEYS / 2]) {
#pragma unroll
    for (int step = 0; step < KEYS / 16; ++step) {
#pragma unroll
        for (int part = 0; part < 4; ++part) {
            weights[step][part] = pack_bf16(scores[8 * step + 2 * part], scores[8 * step + 2 * part + 1]);
        }
    }
}

// Waits for the tile of keys, or values, with this number, counted over all that the block goes through.
DEVICE void await_tile(u64_t* full, unsigned number) {
    barrier_wait(full + number % STAGES, number / STAGES % 2);
}

// The tile of queries that the block has in a round.
DEVICE unsigned work_of(unsigned round) {
    return round * gridDim.x + (round % 2 == 0 ? blockIdx.x : gridDim.x - 1 - blockIdx.x);
}

struct Work {
    unsigned head;
    unsigned query;
};

DEVICE Work queries_of(unsigned work, unsigned tiles, unsigned heads, unsigned together) {
    if (MASK == MASK_CAUSAL) {
        const unsigned front = work / (together * tiles) * together, within = work % (together * tiles);
        const unsigned width = min(heads - front, together);
        return {front + within % width, (tiles - 1 - within / width) * QUERIES};
    }
    return {work / tiles, work % tiles * QUERIES};
}

// Begins 64 queries times all keys of a tile.
DEVICE void begin_scores(float (&scores)[KEYS / 2], u64_t queries, const unsigned char* keys) {
    const u64_t tile = operand(keys, 0, PATTERN_BYTES);
#pragma unroll
    for (unsigned step = 0; step < HEAD / 16; ++step) {
        // 16 products further: 32 bytes in a line, and four steps in a line.
        const unsigned line = step / 4, within = step % 4 * 32;
        multiply_transposed(scores, further(queries, line * QUERY_PART + within), further(tile, line * TILE_PART + within), step > 0);
    }
}

// Begins weights times the values of a tile, added to the sums.
DEVICE void begin_values(float (&output)[HEAD / 2], const unsigned (&weights)[KEYS / 16][4], const unsigned char* values) {
    const u64_t tile = operand(values, TILE_PART, PATTERN_BYTES);
#pragma unroll
    for (unsigned step = 0; step < KEYS / 16; ++step) {
        // 16 keys further: two groups of eight lines.
        multiply_weights(output, weights[step], further(tile, step * 2 * PATTERN_BYTES), true);
    }
}

// Lets the next warpgroup begin its products; after the last turn of the last one there is none.
DEVICE void pass_turn(unsigned next, unsigned group, bool last) {
    if (!last || group < WARPGROUPS) {
        turn_pass(next, 2 * GROUP);
    }
}

// Takes away the scores of keys from `first` on that the warpgroup's queries, from `query` on, do not see.
DEVICE void hide(float (&scores)[KEYS / 2], unsigned query, unsigned first, unsigned seq, unsigned limit) {
    if (!is_cut(query, 64, first, seq, limit)) {
        return;
    }
    const unsigned row = query + threadIdx.x % GROUP / WARP * 16 + threadIdx.x % WARP / 4, left = first + threadIdx.x % 4 * 2;
#pragma unroll
    for (unsigned e = 0; e < KEYS / 2; ++e) {
        if (!sees(row + e % 4 / 2 * 8, left + e / 4 * 8 + e % 2, seq, limit)) {
            scores[e] = NEGATIVE_INFINITY;
        }
    }
}

KERNEL(THREADS) attention_hopper(const unsigned* __restrict__ columns, bf16_t* __restrict__ o, TENSOR_MAP q, TENSOR_MAP k,
                                 TENSOR_MAP v, unsigned seq, unsigned heads, unsigned together, unsigned limit, unsigned visible,
                                 float scale) {
    TILES_SHARED(shared);
    unsigned char* queries = shared;
    unsigned char* keys = queries + WARPGROUPS * QUERY_BYTES;
    unsigned char* values = keys + STAGES * TILE_BYTES;
    u64_t* queries_full = reinterpret_cast<u64_t*>(values + STAGES * TILE_BYTES);
    u64_t* queries_empty = queries_full + 1;
    u64_t* keys_full = queries_empty + 1;
    u64_t* keys_empty = keys_full + STAGES;
    u64_t* values_full = keys_empty + STAGES;
    u64_t* values_empty = values_full + STAGES;

    // The same in all lanes, which the compiler sees this way.
    const unsigned group = __shfl_sync(FULL_WARP, threadIdx.x / GROUP, 0);
    const unsigned tiles = (seq + QUERIES - 1) / QUERIES, works = heads * tiles;

    if (threadIdx.x == 0) {
        barrier_prepare(queries_full, 1);
        barrier_prepare(queries_empty, 4 * WARPGROUPS);
        for (unsigned stage = 0; stage < STAGES; ++stage) {
            barrier_prepare(keys_full + stage, 1);
            barrier_prepare(values_full + stage, 1);
            // Each warp that computes.
            barrier_prepare(keys_empty + stage, 4 * WARPGROUPS);
            barrier_prepare(values_empty + stage, 4 * WARPGROUPS);
        }
        barriers_known();
    }
    __syncthreads();

    if (group == 0) {
        release_registers<FEW>();
        if (threadIdx.x == 0) {
            prefetch_map(&q);
            prefetch_map(&k);
            prefetch_map(&v);
            unsigned number = 0;
            for (unsigned round = 0; work_of(round) < works; ++round) {
                const Work work = queries_of(work_of(round), tiles, heads, together);
                const Walk walk = walk_of(work.head, work.query, QUERIES, seq, limit, columns, visible);
                for (unsigned index = 0; index < walk.count; ++index, ++number) {
                    const unsigned stage = number % STAGES, phase = number / STAGES % 2, first = first_key(walk, index);
                    barrier_wait(keys_empty + stage, phase ^ 1);
                    barrier_expect(keys_full + stage, TILE_BYTES);
                    for (unsigned part = 0; part < PARTS; ++part) {
                        load_box(keys + stage * TILE_BYTES + part * TILE_PART, &k, keys_full + stage, part * LINE, first, work.head);
                    }
                    barrier_wait(values_empty + stage, phase ^ 1);
                    barrier_expect(values_full + stage, TILE_BYTES);
                    for (unsigned part = 0; part < PARTS; ++part) {
                        load_box(values + stage * TILE_BYTES + part * TILE_PART, &v, values_full + stage, part * LINE, first, work.head);
                    }
                    if (index > 0) {
                        continue;
                    }
                    // Behind the first keys and values: where the queries go, answers of the tile before lie until they are stored.
                    barrier_wait(queries_empty, round % 2 ^ 1);
                    barrier_expect(queries_full, WARPGROUPS * QUERY_BYTES);
                    for (unsigned own = 0; own < WARPGROUPS; ++own) {
                        for (unsigned part = 0; part < PARTS; ++part) {
                            load_box(queries + own * QUERY_BYTES + part * QUERY_PART, &q, queries_full, part * LINE,
                                     work.query + own * 64, work.head);
                        }
                    }
                }
            }
        }
    } else {
        claim_registers<MANY>();
        const unsigned own = group - 1, lane = threadIdx.x % WARP, warp = threadIdx.x % GROUP / WARP;
        // Numbered barriers: whose turn it is, and one that a warpgroup has for itself.
        const unsigned turn = 1 + own, next = 1 + group % WARPGROUPS, meeting = 1 + WARPGROUPS + own;
        const u64_t query_tile = operand(queries + own * QUERY_BYTES, 0, PATTERN_BYTES);
        const float factor = scale * LOG2_E;
        // The first turn is the first warpgroup's.
        if (group == WARPGROUPS) {
            turn_pass(1, 2 * GROUP);
        }
        // The number of the tile of keys that comes next.
        unsigned number = 0;
        for (unsigned round = 0; work_of(round) < works; ++round) {
            const Work work = queries_of(work_of(round), tiles, heads, together);
            const Walk walk = walk_of(work.head, work.query, QUERIES, seq, limit, columns, visible);
            const unsigned query = work.query + own * 64, end = number + walk.count;
            const bool ends = work_of(round + 1) >= works;
            float scores[KEYS / 2], output[HEAD / 2] = {};
            unsigned weights[KEYS / 16][4];
            float top[2] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY}, total[2] = {}, shrink[2];

            barrier_wait(queries_full, round % 2);
            await_tile(keys_full, number);
            turn_wait(turn, 2 * GROUP);
            pin(scores);
            products_fence();
            begin_scores(scores, query_tile, keys + number % STAGES * TILE_BYTES);
            products_commit();
            pass_turn(next, group, ends && walk.count == 1);
            products_wait<0>();
            pin(scores);
            if (lane == 0) {
                barrier_arrive(keys_empty + number % STAGES);
            }
            hide(scores, query, first_key(walk, 0), seq, limit);
            soften(scores, top, total, shrink, factor);
            pack(weights, scores);
            if (walk.count > 1) {
                await_tile(keys_full, number + 1);
            }
            for (unsigned index = 1; index < walk.count; ++index) {
                const unsigned before = number % STAGES;
                ++number;
                const unsigned stage = number % STAGES;
                turn_wait(turn, 2 * GROUP);
                pin(scores);
                pin(output);
                pin(weights);
                products_fence();
                begin_scores(scores, query_tile, keys + stage * TILE_BYTES);
                products_commit();
                await_tile(values_full, number - 1);
                begin_values(output, weights, values + before * TILE_BYTES);
                products_commit();
                pass_turn(next, group, ends && index + 1 == walk.count);
                // The scores, but not yet the sums.
                products_wait<1>();
                pin(scores);
                if (lane == 0) {
                    barrier_arrive(keys_empty + stage);
                }
                hide(scores, query, first_key(walk, index), seq, limit);
                soften(scores, top, total, shrink, factor);
                // Weights are computed here, while the values are multiplied: the assembler moves nothing across the loop that
                // waits for the next keys, but would move the wait for the values ahead of the weights.
                pin(scores);
                if (number + 1 < end) {
                    await_tile(keys_full, number + 1);
                }
                products_wait<0>();
                pin(output);
                pin(weights);
                if (lane == 0) {
                    barrier_arrive(values_empty + before);
                }
#pragma unroll
                for (unsigned e = 0; e < HEAD / 2; ++e) {
                    output[e] *= shrink[e % 4 / 2];
                }
                pack(weights, scores);
            }
            const unsigned last = number % STAGES;
            await_tile(values_full, number);
            ++number;
            pin(output);
            pin(weights);
            products_fence();
            begin_values(output, weights, values + last * TILE_BYTES);
            products_commit();
            products_wait<0>();
            pin(output);
            if (lane == 0) {
                barrier_arrive(values_empty + last);
            }

            // Through the warpgroup's own tile of queries, which nothing reads any more, so that stores are whole chunks.
            turn_wait(meeting, GROUP);
            unsigned char* own_tile = queries + own * QUERY_BYTES;
#pragma unroll
            for (unsigned half = 0; half < 2; ++half) {
                const float inverse = 1.0f / quad_sum(total[half]);
                const unsigned row = warp * 16 + half * 8 + lane / 4;
#pragma unroll
                for (unsigned n = 0; n < HEAD / 8; ++n) {
                    unsigned char* to = own_tile + n / 8 * QUERY_PART + chunk_at<LINE>(row, n % 8) * 2;
                    reinterpret_cast<unsigned*>(to)[lane % 4] =
                        pack_bf16(output[4 * n + 2 * half] * inverse, output[4 * n + 2 * half + 1] * inverse);
                }
            }
            __syncwarp();
            for (unsigned index = lane; index < 16 * (HEAD / 8); index += WARP) {
                const unsigned row = warp * 16 + index / (HEAD / 8), n = index % (HEAD / 8), at = query + row;
                if (at < seq) {
                    const unsigned char* from = own_tile + n / 8 * QUERY_PART + chunk_at<LINE>(row, n % 8) * 2;
                    *reinterpret_cast<uint4*>(o + (static_cast<u64_t>(work.head) * seq + at) * HEAD + n * 8) =
                        *reinterpret_cast<const uint4*>(from);
                }
            }
            // Before the next queries are copied there.
            writes_known();
            __syncwarp();
            if (lane == 0) {
                barrier_arrive(queries_empty);
            }
        }
    }
}
