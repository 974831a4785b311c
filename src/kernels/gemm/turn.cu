// B transposed, for products that read only operands with k innermost: bytes in fours by four, or binary32 numbers, which are rounded
// to TF32 on the way. It is part of the product, as any other rearranging of operands.
//
// Macro: BYTES (of an element, 1 or 4). b: k × n. turned: n × k, both multiples of 4 / BYTES. Grid: ⌈n / SIDE⌉ × ⌈k / SIDE⌉.

#define THREADS 256
// Words of a tile's row, each 4 / BYTES elements.
#define WORDS 32
#define EACH (4 / BYTES)
#define SIDE (WORDS * EACH)

KERNEL(THREADS) turn(const unsigned* __restrict__ b, unsigned* __restrict__ turned, unsigned n, unsigned k) {
    // By column of B and by words of rows; one word more, so that columns lie in different banks.
    __shared__ unsigned tile[SIDE][WORDS + 1];
    const unsigned column = blockIdx.x * SIDE, row = blockIdx.y * SIDE, word = threadIdx.x % WORDS, first = threadIdx.x / WORDS;
    // EACH columns and EACH rows at a time.
    for (unsigned at = first; at < WORDS; at += THREADS / WORDS) {
        unsigned given[EACH];
#pragma unroll
        for (unsigned i = 0; i < EACH; ++i) {
            const bool inside = row + at * EACH + i < k && column + word * EACH < n;
            given[i] = inside ? b[(static_cast<u64_t>(row + at * EACH + i) * n + column) / EACH + word] : 0;
        }
#if BYTES == 4
        tile[word][at] = round_tf32(__int_as_float(static_cast<int>(given[0])));
#else
        // Pairs of rows of the lower and of the upper two columns, then fours.
        const unsigned lower[2] = {__byte_perm(given[0], given[1], 0x5140), __byte_perm(given[2], given[3], 0x5140)};
        const unsigned upper[2] = {__byte_perm(given[0], given[1], 0x7362), __byte_perm(given[2], given[3], 0x7362)};
        tile[word * 4][at] = __byte_perm(lower[0], lower[1], 0x5410);
        tile[word * 4 + 1][at] = __byte_perm(lower[0], lower[1], 0x7632);
        tile[word * 4 + 2][at] = __byte_perm(upper[0], upper[1], 0x5410);
        tile[word * 4 + 3][at] = __byte_perm(upper[0], upper[1], 0x7632);
#endif
    }
    __syncthreads();
    for (unsigned at = first; at < SIDE; at += THREADS / WORDS) {
        if (column + at < n && row + word * EACH < k) {
            turned[(static_cast<u64_t>(column + at) * k + row) / EACH + word] = tile[at][word];
        }
    }
}
