// y = A·x with A in CSR, a subgroup for each row: its threads take elements in turn and add their sums in registers.
struct Sizes { rows: u32 }
@group(0) @binding(0) var<storage, read> row_ptr: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> size: Sizes;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) slot: u32,
    @builtin(num_subgroups) at_once: u32,
    @builtin(subgroup_size) lanes: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    for (var row = group.x * at_once + slot; row < size.rows; row += groups.x * at_once) {
        let end = row_ptr[row + 1u];
        var sum = 0.0;
        for (var q = row_ptr[row] + lane; q < end; q += lanes) { sum = fma(values[q], x[columns[q]], sum); }
        let total = subgroupAdd(sum);
        if lane == 0u { y[row] = total; }
    }
}
