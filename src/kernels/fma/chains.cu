// The arithmetic ceiling: each thread alternates x = 2x + p and x = x/2 + q, exact at every step.
//
// Macro: DOUBLE (0, 1).
// Grid: a thread for each chain, in whole blocks.

#if DOUBLE
typedef double NUMBER;
#else
typedef float NUMBER;
#endif
#define THREADS 128
#define UNROLLED 128

// Coefficients are given at the launch, so that nothing can be folded; p/2 + q is `step`, one unit of the grid.
KERNEL(THREADS) chains(const NUMBER* __restrict__ from, NUMBER* __restrict__ to, unsigned pairs, float twice, float add,
                       float half, float take, float step) {
    const unsigned place = blockIdx.x * THREADS + threadIdx.x;
    const NUMBER two = twice, p = add, down = half;
    const NUMBER q = static_cast<NUMBER>(step) + static_cast<NUMBER>(take);
    NUMBER x = from[place];
    for (unsigned pair = 0; pair < pairs; pair += UNROLLED) {
#pragma unroll
        for (int u = 0; u < UNROLLED; ++u) {
            x = fma(x, two, p);
            x = fma(x, down, q);
        }
    }
    to[place] = x;
}
