// y = A·x with A in CSR: LANES lanes a row, four neighbouring elements of A at a time, and several such loads under way.
//
// Fours begin at multiples of four of the whole matrix, so that they are aligned; what of them belongs to neighbouring rows
// counts nothing. Few long rows are split into PARTS, whose sums `join` adds.
//
// Macros: NUMBER_BYTES (4, 8), INDEX_BYTES (2: two indices a word, 4), LANES (1 to 32, a power of two), PARTS.
// row_ptr: m + 1. columns, values: nnz. x: k. y: m, or PARTS × m where PARTS is above 1. Grid: (rows, PARTS).

#if NUMBER_BYTES == 8
typedef double NUMBER;
#else
typedef float NUMBER;
#endif
#define THREADS 256
#define FOUR 4
#define UNDER_WAY 2

struct Four {
    __align__(16) NUMBER values[FOUR];
    unsigned columns[FOUR];
};

// Elements `at` to `at` + 3; beyond the matrix, which only the last four reaches, zeros at column 0.
DEVICE void load_four(Four& to, const unsigned* columns, const NUMBER* values, unsigned at, unsigned nnz) {
    if (at + FOUR <= nnz) {
#pragma unroll
        for (int part = 0; part < NUMBER_BYTES / 4; ++part) {
            reinterpret_cast<uint4*>(to.values)[part] = load_once(values + at + part * (16 / NUMBER_BYTES));
        }
#if INDEX_BYTES == 2
        const uint2 pairs = *reinterpret_cast<const uint2*>(columns + at / 2);
        to.columns[0] = pairs.x & 0xffffu;
        to.columns[1] = pairs.x >> 16;
        to.columns[2] = pairs.y & 0xffffu;
        to.columns[3] = pairs.y >> 16;
#else
        const uint4 four = load_once(columns + at);
        to.columns[0] = four.x;
        to.columns[1] = four.y;
        to.columns[2] = four.z;
        to.columns[3] = four.w;
#endif
        return;
    }
#pragma unroll
    for (int e = 0; e < FOUR; ++e) {
        const bool inside = at + e < nnz;
        to.values[e] = inside ? values[at + e] : static_cast<NUMBER>(0);
#if INDEX_BYTES == 2
        to.columns[e] = inside ? columns[(at + e) / 2] >> ((at + e) % 2 * 16) & 0xffffu : 0;
#else
        to.columns[e] = inside ? columns[at + e] : 0;
#endif
    }
}

KERNEL(THREADS) spmv(const unsigned* __restrict__ row_ptr, const unsigned* __restrict__ columns, const NUMBER* __restrict__ values,
                     const NUMBER* __restrict__ x, NUMBER* __restrict__ y, unsigned m, unsigned nnz) {
    const unsigned lane = threadIdx.x % LANES, row = blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES;
    unsigned first = 0, end = 0;
    // Rows beyond the end have no elements: their lanes take part in the sum all the same.
    if (row < m) {
        first = row_ptr[row];
        end = row_ptr[row + 1];
        if (PARTS > 1) {
            const u64_t length = end - first;
            end = first + static_cast<unsigned>(length * (blockIdx.y + 1) / PARTS);
            first += static_cast<unsigned>(length * blockIdx.y / PARTS);
        }
    }
    NUMBER sums[UNDER_WAY] = {};
    for (unsigned at = first / FOUR * FOUR + lane * FOUR; at < end; at += UNDER_WAY * LANES * FOUR) {
        Four given[UNDER_WAY];
#pragma unroll
        for (int u = 0; u < UNDER_WAY; ++u) {
            if (at + u * LANES * FOUR < end) {
                load_four(given[u], columns, values, at + u * LANES * FOUR, nnz);
            }
        }
#pragma unroll
        for (int u = 0; u < UNDER_WAY; ++u) {
#pragma unroll
            for (int e = 0; e < FOUR; ++e) {
                const unsigned element = at + u * LANES * FOUR + e;
                if (element >= first && element < end) {
                    sums[u] = fma(given[u].values[e], x[given[u].columns[e]], sums[u]);
                }
            }
        }
    }
    NUMBER sum = sums[0];
#pragma unroll
    for (int u = 1; u < UNDER_WAY; ++u) {
        sum += sums[u];
    }
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(FULL_WARP, sum, distance);
    }
    if (lane == 0 && row < m) {
        y[static_cast<u64_t>(PARTS > 1 ? blockIdx.y : 0) * m + row] = sum;
    }
}

KERNEL(THREADS) join(const NUMBER* __restrict__ parts, NUMBER* __restrict__ y, unsigned m) {
    const unsigned row = blockIdx.x * THREADS + threadIdx.x;
    if (row < m) {
        NUMBER sum = 0;
        for (unsigned part = 0; part < PARTS; ++part) {
            sum += parts[static_cast<u64_t>(part) * m + row];
        }
        y[row] = sum;
    }
}
