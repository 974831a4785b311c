// y = A·x with A in CSR. LANES threads share a row: each takes every LANES-th element, and their sums are added in
// shared memory.
override LANES: u32 = 8u;
const THREADS: u32 = 256u;

struct Sizes { rows: u32 }
@group(0) @binding(0) var<storage, read> row_ptr: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> size: Sizes;
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at_once = THREADS / LANES;
    let lane = thread % LANES;
    for (var first = group.x * at_once; first < size.rows; first += groups.x * at_once) {
        let row = first + thread / LANES;
        var sum = 0.0;
        if row < size.rows {
            let end = row_ptr[row + 1u];
            for (var q = row_ptr[row] + lane; q < end; q += LANES) { sum = fma(values[q], x[columns[q]], sum); }
        }
        sums[thread] = sum;
        workgroupBarrier();
        for (var width = LANES / 2u; width > 0u; width /= 2u) {
            if lane < width { sums[thread] += sums[thread + width]; }
            workgroupBarrier();
        }
        if lane == 0u && row < size.rows { y[row] = sums[thread]; }
    }
}
