// What programs for Hopper (compute capability 9.0) have besides the prelude: copies of whole tiles by the tensor memory
// accelerator, barriers in shared memory that count bytes, and products of a warpgroup, which run while its threads go on.
//
// Source: PTX ISA 8.x, "Data Movement and Conversion Instructions: cp.async.bulk.tensor", "Parallel Synchronization and
// Communication Instructions: mbarrier", "Asynchronous Warpgroup Level Matrix Instructions" and "Miscellaneous Instructions:
// setmaxnreg". `WATTPROOF_EMULATED` replaces the instructions, see the prelude; descriptors are made by this text in both.

// Threads of a warpgroup.
#define GROUP 128
// Bytes of a row of a swizzled tile, and elements of 16 bits in it. Eight such rows are one pattern.
#define LINE_BYTES 128u
#define LINE 64
#define PATTERN_BYTES 1024u

#ifndef WATTPROOF_EMULATED
// A tensor in global memory and the tile of it that one copy brings, as the driver encodes them (CUtensorMap).
struct __align__(128) TensorMap {
    u64_t words[16];
};

#define TENSOR_MAP const __grid_constant__ TensorMap
// The patterns of swizzling begin at multiples of 1024 bytes.
#define TILES_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]

// Lets a phase of the barrier end after `arrivals` arrivals and all bytes that were expected in it.
DEVICE void barrier_prepare(u64_t* barrier, unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// Makes prepared barriers known to the copies; threads of the block need a barrier behind it.
DEVICE void barriers_known() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Arrives and lets the phase wait for `bytes` more.
DEVICE void barrier_expect(u64_t* barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}

DEVICE void barrier_arrive(u64_t* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Waits until the phase of this parity (0 for the first, 1 for the second, 0 …) has ended. A barrier that is new has no
// unfinished phase of parity 1.
DEVICE void barrier_wait(u64_t* barrier, unsigned parity) {
    unsigned ended;
    do {
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                     : "=r"(ended)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
    } while (ended == 0);
}

// Brings the tile at these coordinates (innermost first) to shared memory, zeros where the tensor ends; its whole size
// counts for the barrier.
DEVICE void load_box(void* shared, const TensorMap* map, u64_t* barrier, unsigned x, unsigned y, unsigned z) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
                     shared_address(shared)),
                 "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}

// Fetches the map itself ahead of the first copy.
DEVICE void prefetch_map(const TensorMap* map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// Gives registers of each thread of the warpgroup back, down to `Count`, or takes them, up to `Count`.
template <int Count>
DEVICE void release_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}

template <int Count>
DEVICE void claim_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

// Barrier number `id` (1 to 15) of the block for `threads` threads, of which some wait and some only arrive.
DEVICE void turn_wait(unsigned id, unsigned threads) {
    asm volatile("barrier.cta.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

DEVICE void turn_pass(unsigned id, unsigned threads) {
    asm volatile("barrier.cta.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Makes what this thread wrote to shared memory known to products; threads of the block need a barrier behind it.
DEVICE void writes_known() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Orders what threads did to registers before the products that follow.
DEVICE void products_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

// Makes one group of the products since the last.
DEVICE void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until at most `Pending` of the latest groups are under way.
template <int Pending>
DEVICE void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

// Keeps the compiler from moving uses of these registers across this place: for it, a product has ended where it was begun.
template <int Count>
DEVICE void pin(float (&d)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) {
        asm volatile("" : "+f"(d[i])::"memory");
    }
}

template <int Count>
DEVICE void pin(int (&d)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) {
        asm volatile("" : "+r"(d[i])::"memory");
    }
}

template <int Count>
DEVICE void pin(unsigned (&a)[Count][4]) {
#pragma unroll
    for (int i = 0; i < Count * 4; ++i) {
        asm volatile("" : "+r"(a[i / 4][i % 4])::"memory");
    }
}

// Places of accumulators in the text of an instruction, and the registers that stand there.
#define PLACES_32 \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15," \
    "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define PLACES_64 \
    PLACES_32 "," \
    "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
    "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define PLACES_128 \
    PLACES_64 "," \
    "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79," \
    "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95," \
    "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111," \
    "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define SUMS_8(c, d, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3]), c(d[i + 4]), c(d[i + 5]), c(d[i + 6]), c(d[i + 7])
#define SUMS_32(c, d, i) SUMS_8(c, d, i), SUMS_8(c, d, i + 8), SUMS_8(c, d, i + 16), SUMS_8(c, d, i + 24)
#define SUMS_64(c, d, i) SUMS_32(c, d, i), SUMS_32(c, d, i + 32)
#define SUMS_128(c, d, i) SUMS_64(c, d, i), SUMS_64(c, d, i + 64)

// Makes the function of a product of two operands in shared memory: its name, its sums (type, constraint, number), the numbers of the
// places behind these (as texts), the instruction's shape and types, and what follows the operands: scales, and which of them have k
// innermost (0) where that can be chosen.
#define PRODUCT(name, number, constraint, count, a_place, b_place, p_place, instruction, rest)                                    \
    DEVICE void name(number (&d)[count], u64_t a, u64_t b, bool accumulate) {                                                     \
        asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %" p_place ", 0;\nwgmma.mma_async.sync.aligned." instruction              \
                     " {" PLACES_##count "}, %" a_place ", %" b_place ", p" rest ";\n}"                                           \
                     : SUMS_##count(constraint, d, 0)                                                                            \
                     : "l"(a), "l"(b), "r"(static_cast<unsigned>(accumulate)));                                                  \
    }
#define PRODUCT_256(name, number, constraint, instruction, rest) \
    PRODUCT(name, number, constraint, 128, "128", "129", "130", "m64n256" instruction, rest)
#define PRODUCT_128(name, number, constraint, instruction, rest) \
    PRODUCT(name, number, constraint, 64, "64", "65", "66", "m64n128" instruction, rest)

// d += a·b (d = a·b where `accumulate` is false): a is 64×16 with k innermost, b 16×256 with n innermost.
PRODUCT_256(multiply_tiles, float, "+f", "k16.f32.bf16.bf16", ", 1, 1, 0, 1")
PRODUCT_256(multiply_tiles_f16, float, "+f", "k16.f32.f16.f16", ", 1, 1, 0, 1")
// The same with k innermost in both, which is all that other sizes of elements know: 32 bytes of it, 8 in TF32 and 32 in bytes. Of
// binary32 the instruction takes the bits of TF32 and leaves the others away.
PRODUCT_256(multiply_tiles_i8, int, "+r", "k32.s32.s8.s8", "")
PRODUCT_256(multiply_tiles_f8, float, "+f", "k32.f32.e4m3.e4m3", ", 1, 1")
PRODUCT_256(multiply_tiles_tf32, float, "+f", "k8.f32.tf32.tf32", ", 1, 1")

// The same with b of 128 columns, k innermost.
PRODUCT_128(multiply_transposed, float, "+f", "k16.f32.bf16.bf16", ", 1, 1, 0, 0")
PRODUCT_128(multiply_transposed_f16, float, "+f", "k16.f32.f16.f16", ", 1, 1, 0, 0")
PRODUCT_128(multiply_transposed_i8, int, "+r", "k32.s32.s8.s8", "")
PRODUCT_128(multiply_transposed_f8, float, "+f", "k32.f32.e4m3.e4m3", ", 1, 1")
PRODUCT_128(multiply_transposed_tf32, float, "+f", "k8.f32.tf32.tf32", ", 1, 1")

// In bfloat16 with a in registers, laid out as for mma.m16n8k16 in each of the four warps, and b 16×64 or 16×128, n innermost.
DEVICE void multiply_weights(float (&d)[32], const unsigned (&a)[4], u64_t b, bool accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" PLACES_32 "}, {%32,%33,%34,%35}, %36, p, 1, 1, 1;\n}"
                 : SUMS_32("+f", d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<unsigned>(accumulate)));
}

DEVICE void multiply_weights(float (&d)[64], const unsigned (&a)[4], u64_t b, bool accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %69, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" PLACES_64 "}, {%64,%65,%66,%67}, %68, p, 1, 1, 1;\n}"
                 : SUMS_64("+f", d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<unsigned>(accumulate)));
}
#endif

// Describes an operand in shared memory whose rows of 128 bytes are swizzled (PTX ISA, "Matrix Descriptor Format"): address,
// leading and stride offsets in units of 16 bytes, mode 1 in the highest bits. `stride`: bytes between groups of eight rows.
// `leading`: bytes between lines of 64 where n (or m) is innermost and there are several; not read where k is innermost.
DEVICE u64_t operand(const void* tile, unsigned leading, unsigned stride) {
    return static_cast<u64_t>((shared_address(tile) & 0x3ffffu) >> 4) | static_cast<u64_t>(leading >> 4) << 16 |
           static_cast<u64_t>(stride >> 4) << 32 | static_cast<u64_t>(1) << 62;
}

// The descriptor of the same operand `bytes` further.
DEVICE u64_t further(u64_t descriptor, unsigned bytes) {
    return descriptor + (bytes >> 4);
}
