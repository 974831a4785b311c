// C = A·B with A in CSR. A warp computes 512 bytes of a row of C, 16 bytes a lane.
//
// `panels`: rows of B come to shared memory in panels that all rows of a block of threads use, the next while one is used. Where
// the elements of a row in a panel begin was written down before, for A is an input. `rows`: for matrices with so few elements that
// few would use a panel, rows of B are read where they lie.
//
// An element of A is its column and its value side by side, so that one load of all lanes from one place gives both: its column
// within its panel for `panels`, the whole column for `rows`. In bfloat16 an element of a panel is one word, the value in its upper half;
// numbers are widened on the way to FMA units, and sums and C are in binary32.
//
// Macros: NUMBER_BYTES (2: bfloat16, 4, 8), ALIGNED (rows of B and C start at multiples of 16 bytes), PANEL (rows of B), WARPS, ROWS (of a warp).
// starts: (panels + 1) × m, or m + 1 for `rows`. entries: nnz. B: k × n. C: m × n. Grid: all tiles, in one dimension.

#if NUMBER_BYTES == 8
typedef double NUMBER;
typedef double SUM;
struct __align__(16) Entry {
    unsigned column, unused;
    double value;
};
#else
typedef float SUM;
struct __align__(8) Entry {
    unsigned column;
    float value;
};
#endif
#if NUMBER_BYTES == 4
typedef float NUMBER;
#elif NUMBER_BYTES == 2
typedef bf16_t NUMBER;
typedef unsigned PanelEntry;

DEVICE Entry entry_of(unsigned packed) {
    return {packed & 0xffffu, __int_as_float(static_cast<int>(packed & 0xffff0000u))};
}
#endif
#if NUMBER_BYTES != 2
typedef Entry PanelEntry;

DEVICE Entry entry_of(const Entry& entry) {
    return entry;
}

DEVICE SUM widen(SUM x) {
    return x;
}
#endif
#define CHUNK (16 / NUMBER_BYTES)
#define COLUMNS (WARP * CHUNK)
#define THREADS (WARPS * WARP)
#define PANEL_SIZE (PANEL * COLUMNS)

DEVICE void load_panel(NUMBER* to, const NUMBER* b, unsigned first, unsigned k, unsigned n, unsigned column) {
#pragma unroll 4
    for (unsigned index = threadIdx.x; index < PANEL * WARP; index += THREADS) {
        const unsigned row = index / WARP, at = column + index % WARP * CHUNK;
        const bool inside = first + row < k && at < n;
        const u64_t from = inside ? static_cast<u64_t>(first + row) * n + at : 0;
        copy_sixteen<ALIGNED>(to + row * COLUMNS + index % WARP * CHUNK, b + from, inside, n - at);
    }
}

DEVICE void add_row(SUM (&sums)[CHUNK], SUM value, const NUMBER* b) {
#if NUMBER_BYTES == 2
    const uint4 given = *reinterpret_cast<const uint4*>(b);
    const unsigned words[4] = {given.x, given.y, given.z, given.w};
#pragma unroll
    for (int i = 0; i < CHUNK; ++i) {
        const unsigned bits = i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u;
        sums[i] = fma(value, __int_as_float(static_cast<int>(bits)), sums[i]);
    }
#else
    __align__(16) NUMBER given[CHUNK];
    load_sixteen(given, b);
#pragma unroll
    for (int i = 0; i < CHUNK; ++i) {
        sums[i] = fma(value, given[i], sums[i]);
    }
#endif
}

// The sums of a lane, from `column` on.
DEVICE void store_sums(SUM* row, unsigned column, unsigned columns, const SUM (&sums)[CHUNK]) {
    const int each = 16 / sizeof(SUM);
#pragma unroll
    for (int i = 0; i < CHUNK; i += each) {
        store_sixteen<ALIGNED>(row, column + i, columns, &sums[i]);
    }
}

KERNEL(THREADS) panels(const unsigned* __restrict__ starts, const PanelEntry* __restrict__ entries, const NUMBER* __restrict__ b,
                       SUM* __restrict__ c, unsigned m, unsigned k, unsigned n) {
    DYNAMIC_SHARED(shared);
    NUMBER* tiles = reinterpret_cast<NUMBER*>(shared);
    const unsigned lane = threadIdx.x % WARP, down = (m + WARPS * ROWS - 1) / (WARPS * ROWS);
    // Blocks that run together share columns of B, which the second cache serves.
    const unsigned row = blockIdx.x % down * (WARPS * ROWS) + threadIdx.x / WARP * ROWS, column = blockIdx.x / down * COLUMNS;
    const unsigned count = (k + PANEL - 1) / PANEL;
    // Lanes hold the places of a row each.
    const bool has_row = lane < ROWS && row + lane < m;
    unsigned begin = has_row ? starts[row + lane] : 0;
    __align__(16) SUM sums[ROWS][CHUNK] = {};
    load_panel(tiles, b, 0, k, n, column);
    copy_commit();
    for (unsigned panel = 0; panel < count; ++panel) {
        const unsigned end = has_row ? starts[static_cast<u64_t>(panel + 1) * m + row + lane] : 0;
        copy_wait<0>();
        __syncthreads();
        if (panel + 1 < count) {
            load_panel(tiles + (panel + 1) % 2 * PANEL_SIZE, b, (panel + 1) * PANEL, k, n, column);
        }
        copy_commit();
        const NUMBER* own = tiles + panel % 2 * PANEL_SIZE + lane * CHUNK;
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const unsigned last = __shfl_sync(FULL_WARP, end, r);
            // More at once would take registers from a second block of threads.
#pragma unroll 2
            for (unsigned q = __shfl_sync(FULL_WARP, begin, r); q < last; ++q) {
                const Entry entry = entry_of(entries[q]);
                add_row(sums[r], entry.value, own + entry.column * COLUMNS);
            }
        }
        begin = end;
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if (row + r < m) {
            store_sums(c + static_cast<u64_t>(row + r) * n, column + lane * CHUNK, n, sums[r]);
        }
    }
}

KERNEL(THREADS) rows(const unsigned* __restrict__ starts, const Entry* __restrict__ entries, const NUMBER* __restrict__ b,
                     SUM* __restrict__ c, unsigned m, unsigned k, unsigned n) {
    const unsigned lane = threadIdx.x % WARP, down = (m + WARPS - 1) / WARPS;
    const unsigned row = blockIdx.x % down * WARPS + threadIdx.x / WARP, column = blockIdx.x / down * COLUMNS + lane * CHUNK;
    if (row >= m) {
        return;
    }
    const unsigned last = starts[row + 1];
    __align__(16) SUM sums[CHUNK] = {};
#pragma unroll 8
    for (unsigned q = starts[row]; q < last; ++q) {
        const Entry entry = entries[q];
        const NUMBER* from = b + static_cast<u64_t>(entry.column) * n + column;
        if (ALIGNED) {
            if (column < n) {
                add_row(sums, entry.value, from);
            }
        } else {
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) {
                if (column + i < n) {
                    sums[i] = fma(entry.value, widen(from[i]), sums[i]);
                }
            }
        }
    }
    store_sums(c + static_cast<u64_t>(row) * n, column, n, sums);
}
