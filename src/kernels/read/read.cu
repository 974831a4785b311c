// The sum of 64-bit words, modulo 2^64, in one part for each block.
//
// Grid: any number of blocks; together they go through the array with a stride.

#define THREADS 256
#define UNDER_WAY 8

DEVICE u64_t both(uint4 x) {
    return (static_cast<u64_t>(x.y) << 32 | x.x) + (static_cast<u64_t>(x.w) << 32 | x.z);
}

// The number of words comes in two halves, and so does each sum.
KERNEL(THREADS) read_words(const uint4* __restrict__ array, unsigned* __restrict__ sums, unsigned low, unsigned high) {
    __shared__ u64_t parts[THREADS / WARP];
    const u64_t words = static_cast<u64_t>(high) << 32 | low;
    const u64_t pairs = words / 2, stride = static_cast<u64_t>(gridDim.x) * THREADS;
    const u64_t first = static_cast<u64_t>(blockIdx.x) * THREADS + threadIdx.x;
    u64_t sum = 0, i = first;
    // Several loads under way before the first is used.
    for (; i + (UNDER_WAY - 1) * stride < pairs; i += UNDER_WAY * stride) {
        uint4 x[UNDER_WAY];
#pragma unroll
        for (int u = 0; u < UNDER_WAY; ++u) {
            x[u] = load_once(array + i + u * stride);
        }
#pragma unroll
        for (int u = 0; u < UNDER_WAY; ++u) {
            sum += both(x[u]);
        }
    }
    for (; i < pairs; i += stride) {
        sum += both(load_once(array + i));
    }
    if (words % 2 != 0 && first == 0) {
        sum += reinterpret_cast<const u64_t*>(array)[words - 1];
    }
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(FULL_WARP, sum, distance);
    }
    if (threadIdx.x % WARP == 0) {
        parts[threadIdx.x / WARP] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        u64_t total = 0;
        for (int warp = 0; warp < THREADS / WARP; ++warp) {
            total += parts[warp];
        }
        sums[2 * blockIdx.x] = static_cast<unsigned>(total);
        sums[2 * blockIdx.x + 1] = static_cast<unsigned>(total >> 32);
    }
}
