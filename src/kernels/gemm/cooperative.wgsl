// C = A·B by cooperative matrices. A group computes a tile of C of 2×2 patches; a subgroup keeps the sums of one patch, 4×4
// matrices, in its registers, and takes further patches where the group has fewer than four subgroups. Slices of A and B
// that are DEPTH deep lie in shared memory. The files before this one give the matrices and the access to A, B and C:
// `load_a(row, k)` and `load_b(k, column)`, four neighbours at once and zero outside, and `store_c(row, column, sums)`.
struct Sizes { m: u32, n: u32, k: u32 }
override THREADS: u32 = 128u;

const PATCH: u32 = 4u * SIDE;
const TILE: u32 = 2u * PATCH;
const LEFT_ROW: u32 = DEPTH + PAD;
const RIGHT_ROW: u32 = TILE + PAD;
// Elements of a matrix.
const PLACE: u32 = SIDE * SIDE;
var<workgroup> left: array<E, TILE * LEFT_ROW>;
var<workgroup> right: array<E, DEPTH * RIGHT_ROW>;
var<workgroup> scratch: array<f32, 4u * PLACE>;

// Stores a matrix of sums by way of shared memory. Every thread of the group has to come here; those of a subgroup without
// a patch bring nothing.
fn put(sums: Sums, mine: bool, at: u32, row: u32, column: u32, lane: u32, lanes: u32) {
    if mine { give(sums, at, SIDE); }
    workgroupBarrier();
    if mine {
        for (var i = 4u * lane; i < PLACE; i += 4u * lanes) {
            let four = vec4<f32>(scratch[at + i], scratch[at + i + 1u], scratch[at + i + 2u], scratch[at + i + 3u]);
            store_c(row + i / SIDE, column + i % SIDE, four);
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) slot: u32,
    @builtin(num_subgroups) at_once: u32,
    @builtin(subgroup_size) lanes: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first_row = group.y * TILE;
    let first_column = group.x * TILE;
    for (var patches = 0u; patches < 4u; patches += at_once) {
        let mine = patches + slot < 4u;
        let part = min(patches + slot, 3u);
        let down = part / 2u * PATCH;
        let across = part % 2u * PATCH;
        let at = part * PLACE;
        // Sums begin as zeros of shared memory.
        for (var i = thread; i < 4u * PLACE; i += THREADS) { scratch[i] = 0.0; }
        workgroupBarrier();
        var s00 = take_sums(at, SIDE);
        var s01 = take_sums(at, SIDE);
        var s02 = take_sums(at, SIDE);
        var s03 = take_sums(at, SIDE);
        var s10 = take_sums(at, SIDE);
        var s11 = take_sums(at, SIDE);
        var s12 = take_sums(at, SIDE);
        var s13 = take_sums(at, SIDE);
        var s20 = take_sums(at, SIDE);
        var s21 = take_sums(at, SIDE);
        var s22 = take_sums(at, SIDE);
        var s23 = take_sums(at, SIDE);
        var s30 = take_sums(at, SIDE);
        var s31 = take_sums(at, SIDE);
        var s32 = take_sums(at, SIDE);
        var s33 = take_sums(at, SIDE);
        for (var first = 0u; first < size.k; first += DEPTH) {
            for (var i = thread; i < TILE * DEPTH / 4u; i += THREADS) {
                let row = i / (DEPTH / 4u);
                let depth = i % (DEPTH / 4u) * 4u;
                let four = load_a(first_row + row, first + depth);
                let to = row * LEFT_ROW + depth;
                left[to] = E(four.x);
                left[to + 1u] = E(four.y);
                left[to + 2u] = E(four.z);
                left[to + 3u] = E(four.w);
            }
            for (var i = thread; i < TILE * DEPTH / 4u; i += THREADS) {
                let depth = i / (TILE / 4u);
                let column = i % (TILE / 4u) * 4u;
                let four = load_b(first + depth, first_column + column);
                let to = depth * RIGHT_ROW + column;
                right[to] = E(four.x);
                right[to + 1u] = E(four.y);
                right[to + 2u] = E(four.z);
                right[to + 3u] = E(four.w);
            }
            workgroupBarrier();
            if mine {
                for (var depth = 0u; depth < DEPTH; depth += SIDE) {
                    let b = depth * RIGHT_ROW + across;
                    let b0 = take_right(b, RIGHT_ROW);
                    let b1 = take_right(b + SIDE, RIGHT_ROW);
                    let b2 = take_right(b + 2u * SIDE, RIGHT_ROW);
                    let b3 = take_right(b + 3u * SIDE, RIGHT_ROW);
                    let a0 = take_left(down * LEFT_ROW + depth, LEFT_ROW);
                    s00 = multiply(a0, b0, s00);
                    s01 = multiply(a0, b1, s01);
                    s02 = multiply(a0, b2, s02);
                    s03 = multiply(a0, b3, s03);
                    let a1 = take_left((down + SIDE) * LEFT_ROW + depth, LEFT_ROW);
                    s10 = multiply(a1, b0, s10);
                    s11 = multiply(a1, b1, s11);
                    s12 = multiply(a1, b2, s12);
                    s13 = multiply(a1, b3, s13);
                    let a2 = take_left((down + 2u * SIDE) * LEFT_ROW + depth, LEFT_ROW);
                    s20 = multiply(a2, b0, s20);
                    s21 = multiply(a2, b1, s21);
                    s22 = multiply(a2, b2, s22);
                    s23 = multiply(a2, b3, s23);
                    let a3 = take_left((down + 3u * SIDE) * LEFT_ROW + depth, LEFT_ROW);
                    s30 = multiply(a3, b0, s30);
                    s31 = multiply(a3, b1, s31);
                    s32 = multiply(a3, b2, s32);
                    s33 = multiply(a3, b3, s33);
                }
            }
            workgroupBarrier();
        }
        let row = first_row + down;
        let column = first_column + across;
        put(s00, mine, at, row, column, lane, lanes);
        put(s01, mine, at, row, column + SIDE, lane, lanes);
        put(s02, mine, at, row, column + 2u * SIDE, lane, lanes);
        put(s03, mine, at, row, column + 3u * SIDE, lane, lanes);
        put(s10, mine, at, row + SIDE, column, lane, lanes);
        put(s11, mine, at, row + SIDE, column + SIDE, lane, lanes);
        put(s12, mine, at, row + SIDE, column + 2u * SIDE, lane, lanes);
        put(s13, mine, at, row + SIDE, column + 3u * SIDE, lane, lanes);
        put(s20, mine, at, row + 2u * SIDE, column, lane, lanes);
        put(s21, mine, at, row + 2u * SIDE, column + SIDE, lane, lanes);
        put(s22, mine, at, row + 2u * SIDE, column + 2u * SIDE, lane, lanes);
        put(s23, mine, at, row + 2u * SIDE, column + 3u * SIDE, lane, lanes);
        put(s30, mine, at, row + 3u * SIDE, column, lane, lanes);
        put(s31, mine, at, row + 3u * SIDE, column + SIDE, lane, lanes);
        put(s32, mine, at, row + 3u * SIDE, column + 2u * SIDE, lane, lanes);
        put(s33, mine, at, row + 3u * SIDE, column + 3u * SIDE, lane, lanes);
    }
}
