// Fills a buffer with one word.
struct Arguments { words: u32, word: u32 }
@group(0) @binding(0) var<storage, read_write> to: array<u32>;
@group(0) @binding(1) var<uniform> given: Arguments;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < given.words; i += groups.x * 256u) {
        to[i] = given.word;
    }
}
