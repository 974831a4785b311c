// Puts the shares of `decode.cu` and `latent.cu` together. Parts: heads × shares × (value + 2), the last two the maximum of the
// scores and the sum of the weights.

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
