// Y = W·X with W in 8 or 4 bits and X in bfloat16, on tensor cores: 16 rows of W a block, whose warps share the length of
// the sums among them.
//
// A weight is turned into bfloat16, which holds it exactly, right where the fragment of an mma wants it. The order of
// the terms of a sum is free, so each lane takes 16 bytes of neighbouring weights of a row, and the same elements of X.
//
// Weights of four bits, plus 8, lie in words of eight for a lane: nibbles i and i + 4 of a word are neighbours, so that a
// shift and a mask give a pair (`Width::device_words`).
//
// Macros: BITS (8, 4), WARPS, TOKEN_TILES (tiles of 8 columns of X).
// W: n × k/128 × (128·BITS/32) words. Scales: n × k/group. X: m × k. Y: n × m.
// Grid: (tiles of 16 rows, groups of TOKEN_TILES tiles of columns).

#define CHUNK 128
#define THREADS (WARPS * WARP)
#define LOADS (BITS / 4)

// Pairs of weights of a word, as bfloat16: element e and e + 1 of pair e / 2.
DEVICE void widen_word(unsigned word, unsigned (&pairs)[16 / BITS]) {
#if BITS == 8
    // A byte plus 128 under the exponent of 2^23 is the number 2^23 + byte + 128.
    const unsigned biased = word ^ 0x80808080u;
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        x[i] = __int_as_float(static_cast<int>(__byte_perm(biased, 0x4b000000u, 0x7440u + i))) - 8388736.0f;
    }
    pairs[0] = pack_bf16(x[0], x[1]);
    pairs[1] = pack_bf16(x[2], x[3]);
#else
    // A nibble under the exponent of 2^7 is the number 128 + nibble; 136 less is the weight.
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        pairs[i] = fma_bf16x2(word >> (4 * i) & 0x000f000fu | 0x43004300u, 0x3f803f80u, 0xc308c308u);
    }
#endif
}

KERNEL(THREADS) quantized(const unsigned* __restrict__ weights, const float* __restrict__ scales,
                          const bf16_t* __restrict__ x, float* __restrict__ y, unsigned n, unsigned k, unsigned m,
                          unsigned group) {
    __shared__ float parts[WARPS][16][TOKEN_TILES * 8];
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, quad = lane % 4;
    const unsigned chunks = k / CHUNK, words = CHUNK * BITS / 32;
    const unsigned first_token = blockIdx.y * TOKEN_TILES * 8;
    const unsigned last = n - 1;
    // Rows behind the end repeat the last one and are not stored.
    const unsigned rows[2] = {min(blockIdx.x * 16 + lane / 4, last), min(blockIdx.x * 16 + lane / 4 + 8, last)};

    float sums[TOKEN_TILES][4] = {};
    for (unsigned chunk = warp; chunk < chunks; chunk += WARPS) {
        uint4 given[2][LOADS];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const unsigned* from = weights + (static_cast<u64_t>(rows[half]) * chunks + chunk) * words;
#pragma unroll
            for (int load = 0; load < LOADS; ++load) {
                given[half][load] = load_once(from + load * 16 + quad * 4);
            }
        }
        float terms[TOKEN_TILES][4] = {};
#pragma unroll
        for (int load = 0; load < LOADS; ++load) {
            const unsigned own = chunk * CHUNK + load * 64 + quad * (128 / BITS);
            const unsigned above[4] = {given[0][load].x, given[0][load].y, given[0][load].z, given[0][load].w};
            const unsigned below[4] = {given[1][load].x, given[1][load].y, given[1][load].z, given[1][load].w};
#pragma unroll
            for (int word = 0; word < 4; ++word) {
                unsigned upper[16 / BITS], lower[16 / BITS];
                widen_word(above[word], upper);
                widen_word(below[word], lower);
#pragma unroll
                for (int step = 0; step < 8 / BITS; ++step) {
                    const unsigned left[4] = {upper[2 * step], lower[2 * step], upper[2 * step + 1], lower[2 * step + 1]};
#pragma unroll
                    for (int tile = 0; tile < TOKEN_TILES; ++tile) {
                        const unsigned token = first_token + tile * 8 + lane / 4;
                        uint2 right = {0, 0};
                        if (token < m) {
                            const unsigned element = own + word * (32 / BITS) + step * 4;
                            right = *reinterpret_cast<const uint2*>(x + static_cast<u64_t>(token) * k + element);
                        }
                        multiply_bf16(terms[tile], left, right.x, right.y);
                    }
                }
            }
        }
        const unsigned scale = chunk * CHUNK / group;
        const float upper = scales[static_cast<u64_t>(rows[0]) * (k / group) + scale];
        const float lower = scales[static_cast<u64_t>(rows[1]) * (k / group) + scale];
#pragma unroll
        for (int tile = 0; tile < TOKEN_TILES; ++tile) {
            sums[tile][0] = fmaf(terms[tile][0], upper, sums[tile][0]);
            sums[tile][1] = fmaf(terms[tile][1], upper, sums[tile][1]);
            sums[tile][2] = fmaf(terms[tile][2], lower, sums[tile][2]);
            sums[tile][3] = fmaf(terms[tile][3], lower, sums[tile][3]);
        }
    }
#pragma unroll
    for (int tile = 0; tile < TOKEN_TILES; ++tile) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            parts[warp][lane / 4 + e / 2 * 8][tile * 8 + quad * 2 + e % 2] = sums[tile][e];
        }
    }
    __syncthreads();
    for (unsigned index = threadIdx.x; index < 16 * TOKEN_TILES * 8; index += THREADS) {
        const unsigned row = blockIdx.x * 16 + index / (TOKEN_TILES * 8), token = first_token + index % (TOKEN_TILES * 8);
        if (row < n && token < m) {
            float sum = 0.0f;
            for (int part = 0; part < WARPS; ++part) {
                sum += parts[part][index / (TOKEN_TILES * 8)][index % (TOKEN_TILES * 8)];
            }
            y[static_cast<u64_t>(row) * m + token] = sum;
        }
    }
}
