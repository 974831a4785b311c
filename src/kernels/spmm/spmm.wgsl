// C = A·B with A in CSR, a thread for each element of C, or for four neighbours at once: T is a number or four of them,
// as the file that includes this one says. Threads of a row read the same elements of A and neighbours of B.
struct Sizes { rows: u32, width: u32 }
@group(0) @binding(0) var<storage, read> row_ptr: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<T>;
@group(0) @binding(4) var<storage, read_write> c: array<T>;
@group(0) @binding(5) var<uniform> size: Sizes;

@compute @workgroup_size(32, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    if id.x >= size.width { return; }
    for (var row = id.y; row < size.rows; row += groups.y * 8u) {
        var sum = T();
        let end = row_ptr[row + 1u];
        for (var q = row_ptr[row]; q < end; q++) {
            sum = fma(T(values[q]), b[columns[q] * size.width + id.x], sum);
        }
        c[row * size.width + id.x] = sum;
    }
}
