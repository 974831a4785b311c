// C = A·B with A in BSR. A group of 16×16 threads computes 16 rows and 128 columns of C from the stored blocks of one row
// of blocks; a thread keeps two fours. Blocks are stored column by column. The file that includes this one gives the
// access to B and C: `load_b(row, column)` and `store_c(row, column, sums)`, four neighbours at once, zero outside.
struct Sizes { n: u32, side: u32 }
@group(0) @binding(0) var<storage, read> row_ptr: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> blocks: array<f32>;
@group(0) @binding(5) var<uniform> size: Sizes;

var<workgroup> left: array<array<f32, 16>, 16>;
var<workgroup> right: array<array<vec4<f32>, 32>, 16>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) at: vec3<u32>) {
    let parts = size.side / 16u;
    let block_row = group.y / parts;
    let first_row = group.y % parts * 16u;
    let first_column = group.x * 128u;
    var sums = array<vec4<f32>, 2>();
    let end = row_ptr[block_row + 1u];
    for (var block = row_ptr[block_row]; block < end; block++) {
        let row_of_b = columns[block] * size.side;
        for (var depth = 0u; depth < size.side; depth += 16u) {
            // Neighbours in x read neighbours of a column.
            left[at.y][at.x] = blocks[(block * size.side + depth + at.y) * size.side + first_row + at.x];
            for (var q = 0u; q < 2u; q++) {
                let column = at.x + 16u * q;
                right[at.y][column] = load_b(row_of_b + depth + at.y, first_column + 4u * column);
            }
            workgroupBarrier();
            for (var k = 0u; k < 16u; k++) {
                let down = vec4<f32>(left[k][at.y]);
                sums[0] = fma(down, right[k][at.x], sums[0]);
                sums[1] = fma(down, right[k][at.x + 16u], sums[1]);
            }
            workgroupBarrier();
        }
    }
    let row = block_row * size.side + first_row + at.y;
    store_c(row, first_column + 4u * at.x, sums[0]);
    store_c(row, first_column + 4u * (at.x + 16u), sums[1]);
}
