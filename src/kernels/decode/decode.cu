// softmax(q·Kᵀ/√key)·V for one query of each head and a long cache, in single precision, split over the tokens (Dao et
// al., Flash-Decoding, 2023): `part` computes, for each warp's share of the tokens, a maximum, a sum and a weighted sum
// of values; `join` puts the shares together.
//
// A warp takes four tokens at a time, its lanes lie across the elements of a row. Sums over the lanes of four scores
// are formed together: half of the lanes continue with half of the scores.
//
// Macros: FORMAT (0 float, 1 latent: a value is the front of its key, 2 int8 with scales), HEADS (query heads of a warp),
// HEAD_WARPS (warps of a block that read the same tokens for other heads), TOKEN_WARPS, KEY_PARTS and VALUE_PARTS (pieces
// of 128 elements of a key and of a value), ALIGNED (rows are multiples of 4 elements).
// Keys: groups × len × key. Values: groups × len × value. Scales: groups × len. Queries: heads × key. Parts: heads ×
// shares × (value + 2). Grid of `part`: (splits × bundles of heads, groups): neighbouring blocks read the same tokens for
// other heads, so that the second cache serves all but the first. Bundles: ceil(share / (HEADS·HEAD_WARPS)).

#define LATENT 1
#define INT8 2
#define STEP 4
#define THREADS (HEAD_WARPS * TOKEN_WARPS * WARP)
#if FORMAT == INT8
typedef signed char element_t;
#else
typedef float element_t;
#endif

// Four elements from `index` on; zeros from `len` on.
DEVICE float4 four(const float* row, unsigned index, unsigned len) {
    float4 x = {0.0f, 0.0f, 0.0f, 0.0f};
    if (ALIGNED) {
        if (index < len) {
            x = *reinterpret_cast<const float4*>(row + index);
        }
        return x;
    }
    x.x = index < len ? row[index] : 0.0f;
    x.y = index + 1 < len ? row[index + 1] : 0.0f;
    x.z = index + 2 < len ? row[index + 2] : 0.0f;
    x.w = index + 3 < len ? row[index + 3] : 0.0f;
    return x;
}

DEVICE float4 four(const signed char* row, unsigned index, unsigned len) {
    float4 x = {0.0f, 0.0f, 0.0f, 0.0f};
    if (ALIGNED) {
        if (index < len) {
            const int word = *reinterpret_cast<const int*>(row + index);
            x.x = static_cast<float>(word << 24 >> 24);
            x.y = static_cast<float>(word << 16 >> 24);
            x.z = static_cast<float>(word << 8 >> 24);
            x.w = static_cast<float>(word >> 24);
        }
        return x;
    }
    x.x = index < len ? static_cast<float>(row[index]) : 0.0f;
    x.y = index + 1 < len ? static_cast<float>(row[index + 1]) : 0.0f;
    x.z = index + 2 < len ? static_cast<float>(row[index + 2]) : 0.0f;
    x.w = index + 3 < len ? static_cast<float>(row[index + 3]) : 0.0f;
    return x;
}

DEVICE float dot(float4 a, float4 b, float sum) {
    return fmaf(a.x, b.x, fmaf(a.y, b.y, fmaf(a.z, b.z, fmaf(a.w, b.w, sum))));
}

// Adds each of four numbers over the warp: a lane gets the sum of number lane % 4.
DEVICE float sum_of_four(const float (&x)[STEP], unsigned lane) {
    const bool odd = lane & 1, upper = lane & 2;
    float first = odd ? x[1] : x[0], second = odd ? x[3] : x[2];
    first += __shfl_xor_sync(FULL_WARP, odd ? x[0] : x[1], 1);
    second += __shfl_xor_sync(FULL_WARP, odd ? x[2] : x[3], 1);
    float sum = upper ? second : first;
    sum += __shfl_xor_sync(FULL_WARP, upper ? first : second, 2);
    sum += __shfl_xor_sync(FULL_WARP, sum, 4);
    sum += __shfl_xor_sync(FULL_WARP, sum, 8);
    return sum + __shfl_xor_sync(FULL_WARP, sum, 16);
}

KERNEL(THREADS) part(const element_t* __restrict__ keys, const element_t* __restrict__ values,
                     const float* __restrict__ key_scales, const float* __restrict__ value_scales,
                     const float* __restrict__ queries, float* __restrict__ parts, unsigned share, unsigned len,
                     unsigned key, unsigned value, float scale) {
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned bundles = (share + HEADS * HEAD_WARPS - 1) / (HEADS * HEAD_WARPS);
    const unsigned group = blockIdx.y;
    const unsigned first_head = (blockIdx.x % bundles * HEAD_WARPS + warp / TOKEN_WARPS) * HEADS;
    const unsigned place = blockIdx.x / bundles * TOKEN_WARPS + warp % TOKEN_WARPS;
    const unsigned shares = gridDim.x / bundles * TOKEN_WARPS;
    const u64_t rows = static_cast<u64_t>(group) * len;
    const float factor = scale * LOG2_E;

    float4 query[HEADS][KEY_PARTS], sums[HEADS][VALUE_PARTS];
    float top[HEADS], total[HEADS];
#pragma unroll
    for (int h = 0; h < HEADS; ++h) {
        const unsigned head = min(first_head + h, share - 1);
#pragma unroll
        for (int p = 0; p < KEY_PARTS; ++p) {
            query[h][p] = four(queries + static_cast<u64_t>(group * share + head) * key, p * 128 + lane * 4, key);
        }
#pragma unroll
        for (int p = 0; p < VALUE_PARTS; ++p) {
            sums[h][p].x = sums[h][p].y = sums[h][p].z = sums[h][p].w = 0.0f;
        }
        top[h] = NEGATIVE_INFINITY;
        total[h] = 0.0f;
    }

    for (u64_t token = static_cast<u64_t>(place) * STEP; token < len; token += static_cast<u64_t>(shares) * STEP) {
        float4 row[STEP][KEY_PARTS];
#pragma unroll
        for (int t = 0; t < STEP; ++t) {
            // Tokens behind the end repeat the last one, with a weight of zero.
            const u64_t at = rows + (token + t < len ? token + t : len - 1);
#pragma unroll
            for (int p = 0; p < KEY_PARTS; ++p) {
                row[t][p] = four(keys + at * key, p * 128 + lane * 4, key);
            }
        }
        const u64_t own = token + lane % 4;
        const u64_t held = rows + (own < len ? own : len - 1);
        const float of_key = FORMAT == INT8 ? key_scales[held] : 1.0f;
        const float of_value = FORMAT == INT8 ? value_scales[held] : 1.0f;
        float weight[HEADS], shrink[HEADS];
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            float scores[STEP];
#pragma unroll
            for (int t = 0; t < STEP; ++t) {
                scores[t] = 0.0f;
#pragma unroll
                for (int p = 0; p < KEY_PARTS; ++p) {
                    scores[t] = dot(row[t][p], query[h][p], scores[t]);
                }
            }
            float score = sum_of_four(scores, lane) * of_key;
            score = own < len ? score : NEGATIVE_INFINITY;
            const float highest = fmaxf(top[h], quad_max(score));
            weight[h] = exp2_fast((score - highest) * factor);
            shrink[h] = exp2_fast((top[h] - highest) * factor);
            top[h] = highest;
            total[h] = total[h] * shrink[h] + weight[h];
        }
#if FORMAT != LATENT
#pragma unroll
        for (int t = 0; t < STEP; ++t) {
            const u64_t at = rows + (token + t < len ? token + t : len - 1);
#pragma unroll
            for (int p = 0; p < VALUE_PARTS; ++p) {
                row[t][p] = four(values + at * value, p * 128 + lane * 4, value);
            }
        }
#endif
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            float of_token[STEP];
#pragma unroll
            for (int t = 0; t < STEP; ++t) {
                of_token[t] = __shfl_sync(FULL_WARP, weight[h] * of_value, t);
            }
#pragma unroll
            for (int p = 0; p < VALUE_PARTS; ++p) {
                float4 sum = sums[h][p];
                sum.x *= shrink[h];
                sum.y *= shrink[h];
                sum.z *= shrink[h];
                sum.w *= shrink[h];
#pragma unroll
                for (int t = 0; t < STEP; ++t) {
                    sum.x = fmaf(of_token[t], row[t][p].x, sum.x);
                    sum.y = fmaf(of_token[t], row[t][p].y, sum.y);
                    sum.z = fmaf(of_token[t], row[t][p].z, sum.z);
                    sum.w = fmaf(of_token[t], row[t][p].w, sum.w);
                }
                sums[h][p] = sum;
            }
        }
    }

#pragma unroll
    for (int h = 0; h < HEADS; ++h) {
        const float sum = quad_sum(total[h]);
        if (first_head + h >= share) {
            continue;
        }
        float* to = parts + (static_cast<u64_t>(group * share + first_head + h) * shares + place) * (value + 2);
        if (lane == 0) {
            to[value] = top[h];
            to[value + 1] = sum;
        }
#pragma unroll
        for (int p = 0; p < VALUE_PARTS; ++p) {
            const unsigned index = p * 128 + lane * 4;
            const float four[4] = {sums[h][p].x, sums[h][p].y, sums[h][p].z, sums[h][p].w};
#pragma unroll
            for (unsigned e = 0; e < 4; ++e) {
                if (index + e < value) {
                    to[index + e] = four[e];
                }
            }
        }
    }
}

#define COLUMNS 128
#define SLICES 4
#define JOINING (COLUMNS * SLICES)
// Shares whose weights are held at once.
#define HELD 1024

// Largest of `x` over the block, in every thread. `room`: one number a warp.
DEVICE float block_max(float x, float* room) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, distance));
    }
    if (threadIdx.x % WARP == 0) {
        room[threadIdx.x / WARP] = x;
    }
    __syncthreads();
    x = room[0];
    for (int warp = 1; warp < JOINING / WARP; ++warp) {
        x = fmaxf(x, room[warp]);
    }
    return x;
}

// Grid: (heads, ceil(value / COLUMNS)). The shares of a head are divided among SLICES rows of threads.
KERNEL(JOINING) join(const float* __restrict__ parts, float* __restrict__ output, unsigned shares, unsigned value, float scale) {
    __shared__ float room[JOINING / WARP], weights[HELD], sums[SLICES][COLUMNS], totals[SLICES][COLUMNS];
    const float factor = scale * LOG2_E;
    const unsigned width = value + 2, slice = threadIdx.x / COLUMNS, lane = threadIdx.x % COLUMNS;
    const unsigned column = blockIdx.y * COLUMNS + lane;
    const float* own = parts + static_cast<u64_t>(blockIdx.x) * shares * width;
    float top = NEGATIVE_INFINITY;
    for (unsigned s = threadIdx.x; s < shares; s += JOINING) {
        top = fmaxf(top, own[static_cast<u64_t>(s) * width + value]);
    }
    top = block_max(top, room);
    float sum = 0.0f, total = 0.0f;
    for (unsigned first = 0; first < shares; first += HELD) {
        const unsigned count = min(shares - first, static_cast<unsigned>(HELD));
        const float* from = own + static_cast<u64_t>(first) * width;
        __syncthreads();
        // A share without tokens has the maximum −∞ and the weight zero.
        for (unsigned s = threadIdx.x; s < count; s += JOINING) {
            weights[s] = exp2_fast((from[static_cast<u64_t>(s) * width + value] - top) * factor);
        }
        __syncthreads();
        if (column < value) {
#pragma unroll 8
            for (unsigned s = slice; s < count; s += SLICES) {
                sum = fmaf(weights[s], from[static_cast<u64_t>(s) * width + column], sum);
                total = fmaf(weights[s], from[static_cast<u64_t>(s) * width + value + 1], total);
            }
        }
    }
    sums[slice][lane] = sum;
    totals[slice][lane] = total;
    __syncthreads();
    if (slice == 0 && column < value) {
        for (int other = 1; other < SLICES; ++other) {
            sum += sums[other][lane];
            total += totals[other][lane];
        }
        output[static_cast<u64_t>(blockIdx.x) * value + column] = sum / total;
    }
}
