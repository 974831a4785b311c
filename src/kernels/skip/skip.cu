// y = Dᵀ·max(U·x − b, 0) for one token, in single precision; rows of D whose unit is zero are not read.
//
// `project` computes A·x for the predictor, `units` the hidden units (with a predictor only those it names), `add` adds
// the active rows of D for a share of the units, `join` puts the shares together.
//
// Macros: ALIGNED (d and rank are multiples of 4), PREDICTED (0, 1).

#define THREADS 256
#define WARPS (THREADS / WARP)

// Product of two vectors, in every lane.
DEVICE float product(const float* a, const float* b, unsigned len, unsigned lane) {
    float sum = 0.0f;
    if (ALIGNED) {
        const float4* left = reinterpret_cast<const float4*>(a);
        const float4* right = reinterpret_cast<const float4*>(b);
#pragma unroll 4
        for (unsigned i = lane; i < len / 4; i += WARP) {
            const float4 x = left[i], y = right[i];
            sum = fmaf(x.x, y.x, fmaf(x.y, y.y, fmaf(x.z, y.z, fmaf(x.w, y.w, sum))));
        }
    } else {
        for (unsigned i = lane; i < len; i += WARP) {
            sum = fmaf(a[i], b[i], sum);
        }
    }
    return warp_sum(sum);
}

// One row a warp.
KERNEL(THREADS) project(const float* __restrict__ inner, const float* __restrict__ x, float* __restrict__ z, unsigned d, unsigned rank) {
    const unsigned row = blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row < rank) {
        const float sum = product(inner + static_cast<u64_t>(row) * d, x, d, lane);
        if (lane == 0) {
            z[row] = sum;
        }
    }
}

// One unit a warp.
KERNEL(THREADS) units(const float* __restrict__ up, const float* __restrict__ bias, const float* __restrict__ outer,
                      const float* __restrict__ thresholds, const float* __restrict__ x, const float* __restrict__ z,
                      float* __restrict__ hidden, unsigned d, unsigned f, unsigned rank) {
    const unsigned unit = blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (unit >= f) {
        return;
    }
    bool wanted = true;
    if (PREDICTED) {
        wanted = product(outer + static_cast<u64_t>(unit) * rank, z, rank, lane) > thresholds[unit];
    }
    float value = 0.0f;
    if (wanted) {
        value = fmaxf(product(up + static_cast<u64_t>(unit) * d, x, d, lane) - bias[unit], 0.0f);
    }
    if (lane == 0) {
        hidden[unit] = value;
    }
}

// Grid: (columns / (THREADS·4), shares of the units). A lane looks at one unit; the warp then goes through the active ones.
KERNEL(THREADS) add(const float* __restrict__ down, const float* __restrict__ hidden, float* __restrict__ parts, unsigned d, unsigned f) {
    const unsigned lane = threadIdx.x % WARP;
    const unsigned column = (blockIdx.x * THREADS + threadIdx.x) * 4;
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (unsigned first = blockIdx.y * WARP; first < f; first += gridDim.y * WARP) {
        const float own = first + lane < f ? hidden[first + lane] : 0.0f;
        unsigned active = __ballot_sync(FULL_WARP, own > 0.0f);
        while (active != 0) {
            const int unit = __ffs(static_cast<int>(active)) - 1;
            active &= active - 1;
            const float weight = __shfl_sync(FULL_WARP, own, unit);
            const float* row = down + static_cast<u64_t>(first + unit) * d + column;
            if (ALIGNED) {
                if (column < d) {
                    const float4 x = *reinterpret_cast<const float4*>(row);
                    sum[0] = fmaf(weight, x.x, sum[0]);
                    sum[1] = fmaf(weight, x.y, sum[1]);
                    sum[2] = fmaf(weight, x.z, sum[2]);
                    sum[3] = fmaf(weight, x.w, sum[3]);
                }
            } else {
                for (unsigned e = 0; e < 4; ++e) {
                    if (column + e < d) {
                        sum[e] = fmaf(weight, row[e], sum[e]);
                    }
                }
            }
        }
    }
    for (unsigned e = 0; e < 4; ++e) {
        if (column + e < d) {
            parts[static_cast<u64_t>(blockIdx.y) * d + column + e] = sum[e];
        }
    }
}

KERNEL(THREADS) join(const float* __restrict__ parts, float* __restrict__ y, unsigned d, unsigned shares) {
    const unsigned column = blockIdx.x * THREADS + threadIdx.x;
    if (column < d) {
        float sum = 0.0f;
#pragma unroll 8
        for (unsigned share = 0; share < shares; ++share) {
            sum += parts[static_cast<u64_t>(share) * d + column];
        }
        y[column] = sum;
    }
}
