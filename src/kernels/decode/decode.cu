// softmax(q·Kᵀ/√key)·V for one query of each head and a long cache, with sums in single precision, split over the tokens (Dao et
// al., Flash-Decoding, 2023): `part` computes, for each warp's share of the tokens, a maximum, a sum and a weighted sum
// of values; `join.cu` puts the shares together.
//
// A warp takes four tokens at a time, its lanes lie across the elements of a row. Sums over the lanes of four scores
// are formed together: half of the lanes continue with half of the scores.
//
// What the next tokens need is asked for before the present ones are computed with: a warp has few bytes under way otherwise,
// the fewer the shorter the elements.
//
// Macros: FORMAT (0 binary32, 1 latent: a value is the front of its key, 2 int8 with scales, 3 bfloat16), HEADS (query heads of
// a warp), HEAD_WARPS (warps of a block that read the same tokens for other heads), TOKEN_WARPS, KEY_PARTS and VALUE_PARTS
// (pieces of 128 elements of a key and of a value), ALIGNED (rows are multiples of 4 elements).
// Keys: groups × len × key. Values: groups × len × value. Scales: groups × len. Queries: heads × key. Parts: heads ×
// shares × (value + 2). Grid of `part`: (splits × bundles of heads, groups): neighbouring blocks read the same tokens for
// other heads, so that the second cache serves all but the first. Bundles: ceil(share / (HEADS·HEAD_WARPS)).

#define LATENT 1
#define INT8 2
#define BF16 3
#define STEP 4
#define THREADS (HEAD_WARPS * TOKEN_WARPS * WARP)
// Whether registers suffice for the next tokens beside the present ones.
#define EARLY (KEY_PARTS == 1 && FORMAT != LATENT)
// Four elements as they are stored.
#if FORMAT == INT8
typedef signed char element_t;
typedef unsigned four_t;
#elif FORMAT == BF16
typedef bf16_t element_t;
typedef uint2 four_t;
#else
typedef float element_t;
typedef float4 four_t;
#endif

// Four elements from `index` on; zeros from `len` on.
template <typename Element, typename Four>
DEVICE Four four(const Element* row, unsigned index, unsigned len) {
    Four x = {};
    if (ALIGNED) {
        if (index < len) {
            x = *reinterpret_cast<const Four*>(row + index);
        }
        return x;
    }
    Element* each = reinterpret_cast<Element*>(&x);
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        if (index + i < len) {
            each[i] = row[index + i];
        }
    }
    return x;
}

DEVICE float4 open(float4 x) {
    return x;
}

// Two elements a word.
DEVICE float4 open(uint2 x) {
    return float4{__int_as_float(static_cast<int>(x.x << 16)), __int_as_float(static_cast<int>(x.x & 0xffff0000u)),
                  __int_as_float(static_cast<int>(x.y << 16)), __int_as_float(static_cast<int>(x.y & 0xffff0000u))};
}

// Four elements a word.
DEVICE float4 open(unsigned x) {
    const int word = static_cast<int>(x);
    return float4{static_cast<float>(word << 24 >> 24), static_cast<float>(word << 16 >> 24),
                  static_cast<float>(word << 8 >> 24), static_cast<float>(word >> 24)};
}

// Rows of the tokens from `token` on; those behind the end repeat the last one, with a weight of zero.
template <int Parts>
DEVICE void fetch(four_t (&to)[STEP][Parts], const element_t* from, u64_t rows, u64_t token, unsigned len, unsigned width) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (int t = 0; t < STEP; ++t) {
        const u64_t at = rows + (token + t < len ? token + t : len - 1);
#pragma unroll
        for (int p = 0; p < Parts; ++p) {
            to[t][p] = four<element_t, four_t>(from + at * width, p * 128 + lane * 4, width);
        }
    }
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
            query[h][p] = four<float, float4>(queries + static_cast<u64_t>(group * share + head) * key, p * 128 + lane * 4, key);
        }
#pragma unroll
        for (int p = 0; p < VALUE_PARTS; ++p) {
            sums[h][p].x = sums[h][p].y = sums[h][p].z = sums[h][p].w = 0.0f;
        }
        top[h] = NEGATIVE_INFINITY;
        total[h] = 0.0f;
    }

    const u64_t stride = static_cast<u64_t>(shares) * STEP;
    four_t next_keys[STEP][KEY_PARTS], next_values[STEP][VALUE_PARTS];
    if (EARLY) {
        fetch(next_keys, keys, rows, static_cast<u64_t>(place) * STEP, len, key);
        fetch(next_values, values, rows, static_cast<u64_t>(place) * STEP, len, value);
    }
    for (u64_t token = static_cast<u64_t>(place) * STEP; token < len; token += stride) {
        float4 row[STEP][KEY_PARTS];
        four_t own_values[STEP][VALUE_PARTS];
        if (!EARLY) {
            fetch(next_keys, keys, rows, token, len, key);
        }
#pragma unroll
        for (int t = 0; t < STEP; ++t) {
#pragma unroll
            for (int p = 0; p < KEY_PARTS; ++p) {
                row[t][p] = open(next_keys[t][p]);
            }
#pragma unroll
            for (int p = 0; p < VALUE_PARTS; ++p) {
                own_values[t][p] = next_values[t][p];
            }
        }
        if (EARLY && token + stride < len) {
            fetch(next_keys, keys, rows, token + stride, len, key);
            fetch(next_values, values, rows, token + stride, len, value);
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
        if (!EARLY && FORMAT != LATENT) {
            fetch(own_values, values, rows, token, len, value);
        }
#if FORMAT != LATENT
#pragma unroll
        for (int t = 0; t < STEP; ++t) {
#pragma unroll
            for (int p = 0; p < VALUE_PARTS; ++p) {
                row[t][p] = open(own_values[t][p]);
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
