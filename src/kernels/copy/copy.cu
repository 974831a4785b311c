// y = x, in words of 32 bits whatever the type of the elements.
//
// Grid: any number of blocks; together they go through the arrays with a stride.

#define THREADS 256
#define UNDER_WAY 8

// The number of words comes in two halves.
KERNEL(THREADS) copy_words(const uint4* __restrict__ x, uint4* __restrict__ y, unsigned low, unsigned high) {
    const u64_t words = static_cast<u64_t>(high) << 32 | low;
    const u64_t quads = words / 4, stride = static_cast<u64_t>(gridDim.x) * THREADS;
    const u64_t first = static_cast<u64_t>(blockIdx.x) * THREADS + threadIdx.x;
    u64_t i = first;
    // Several loads under way before the first is stored.
    for (; i + (UNDER_WAY - 1) * stride < quads; i += UNDER_WAY * stride) {
        uint4 held[UNDER_WAY];
#pragma unroll
        for (int u = 0; u < UNDER_WAY; ++u) {
            held[u] = load_once(x + i + u * stride);
        }
#pragma unroll
        for (int u = 0; u < UNDER_WAY; ++u) {
            y[i + u * stride] = held[u];
        }
    }
    for (; i < quads; i += stride) {
        y[i] = load_once(x + i);
    }
    if (first < words % 4) {
        reinterpret_cast<unsigned*>(y)[quads * 4 + first] = reinterpret_cast<const unsigned*>(x)[quads * 4 + first];
    }
}
