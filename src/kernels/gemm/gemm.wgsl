// C = A·B by tiles of 16·R rows and 64·Q columns, a group of 16×16 threads each, of which every one keeps R×4Q sums.
// The file that includes this one gives R, Q and the access to the matrices: `load_a(row, k)` and `load_b(k, column)`,
// four neighbours at once and zero outside, and `store_c(row, column, sums)`.
struct Sizes { m: u32, n: u32, k: u32 }

const DEPTH: u32 = 16u;
var<workgroup> left: array<array<f32, 16u * R>, DEPTH>;
var<workgroup> right: array<array<vec4<f32>, 16u * Q>, DEPTH>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) at: vec3<u32>) {
    let thread = at.y * 16u + at.x;
    let first_row = group.y * 16u * R;
    let first_column = group.x * 64u * Q;
    var sums: array<vec4<f32>, R * Q>;
    for (var i = 0u; i < R * Q; i++) { sums[i] = vec4<f32>(); }
    for (var first = 0u; first < size.k; first += DEPTH) {
        for (var part = 0u; part < R / 4u; part++) {
            let index = thread + part * 256u;
            let row = index / 4u;
            let depth = index % 4u * 4u;
            let four = load_a(first_row + row, first + depth);
            left[depth][row] = four.x;
            left[depth + 1u][row] = four.y;
            left[depth + 2u][row] = four.z;
            left[depth + 3u][row] = four.w;
        }
        for (var part = 0u; part < Q; part++) {
            let index = thread + part * 256u;
            let depth = index / (16u * Q);
            let column = index % (16u * Q);
            right[depth][column] = load_b(first + depth, first_column + 4u * column);
        }
        workgroupBarrier();
        for (var depth = 0u; depth < DEPTH; depth++) {
            var across: array<vec4<f32>, Q>;
            for (var q = 0u; q < Q; q++) { across[q] = right[depth][at.x + 16u * q]; }
            for (var r = 0u; r < R; r++) {
                let down = vec4<f32>(left[depth][at.y * R + r]);
                for (var q = 0u; q < Q; q++) { sums[r * Q + q] = fma(down, across[q], sums[r * Q + q]); }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < R; r++) {
        for (var q = 0u; q < Q; q++) {
            store_c(first_row + at.y * R + r, first_column + 4u * (at.x + 16u * q), sums[r * Q + q]);
        }
    }
}
