// a = b + s·c.
//
// Macro: DOUBLE (0, 1).
// Grid: any number of blocks; together they go through the arrays with a stride.

#if DOUBLE
typedef double NUMBER;
typedef double2 VECTOR;
#else
typedef float NUMBER;
typedef float4 VECTOR;
#endif
#define THREADS 256
#define LANES (sizeof(VECTOR) / sizeof(NUMBER))

DEVICE VECTOR triple(VECTOR b, VECTOR c, NUMBER s) {
    NUMBER* sum = reinterpret_cast<NUMBER*>(&b);
    const NUMBER* term = reinterpret_cast<const NUMBER*>(&c);
#pragma unroll
    for (int i = 0; i < LANES; ++i) {
        sum[i] = fma(s, term[i], sum[i]);
    }
    return b;
}

// The number of elements comes in two halves; three is exact in any type.
KERNEL(THREADS) triad(NUMBER* __restrict__ a, const NUMBER* __restrict__ b, const NUMBER* __restrict__ c, unsigned low,
                      unsigned high, float factor) {
    const u64_t n = static_cast<u64_t>(high) << 32 | low;
    const NUMBER s = factor;
    const u64_t first = static_cast<u64_t>(blockIdx.x) * THREADS + threadIdx.x;
    const u64_t stride = static_cast<u64_t>(gridDim.x) * THREADS;
    const u64_t vectors = n / LANES;
    VECTOR* to = reinterpret_cast<VECTOR*>(a);
    const VECTOR* left = reinterpret_cast<const VECTOR*>(b);
    const VECTOR* right = reinterpret_cast<const VECTOR*>(c);
    u64_t i = first;
    // Several loads under way before the first is used.
    for (; i + 3 * stride < vectors; i += 4 * stride) {
        VECTOR x[4], y[4];
#pragma unroll
        for (int u = 0; u < 4; ++u) {
            x[u] = left[i + u * stride];
            y[u] = right[i + u * stride];
        }
#pragma unroll
        for (int u = 0; u < 4; ++u) {
            to[i + u * stride] = triple(x[u], y[u], s);
        }
    }
    for (; i < vectors; i += stride) {
        to[i] = triple(left[i], right[i], s);
    }
    for (u64_t j = vectors * LANES + first; j < n; j += stride) {
        a[j] = fma(s, c[j], b[j]);
    }
}
