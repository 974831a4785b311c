// y = x. T is a number, or four at once where their count allows it; the file that includes this one says so.
struct Arguments { elements: u32 }
@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> given: Arguments;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < given.elements; i += groups.x * 256u) {
        y[i] = x[i];
    }
}
