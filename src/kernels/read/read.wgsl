// The sum of 64-bit words, modulo 2^64, in one part for each group. A word is two numbers of 32 bits, the lower one first.
struct Arguments { words: u32 }
@group(0) @binding(0) var<storage, read> words: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
@group(0) @binding(2) var<uniform> given: Arguments;

var<workgroup> parts: array<vec2<u32>, 256>;

fn plus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

@compute @workgroup_size(256)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    var sum = vec2<u32>(0u, 0u);
    let stride = groups.x * 256u;
    for (var i = id.x; i < given.words; i += stride) {
        sum = plus(sum, words[i]);
    }
    parts[lane] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) {
            parts[lane] = plus(parts[lane], parts[lane + half]);
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        sums[2u * group.x] = parts[0].x;
        sums[2u * group.x + 1u] = parts[0].y;
    }
}
