// Four chains a thread: x = 2x + p and x = x/2 + q in turn, exact at every step, whether the product is rounded or not.
struct Arguments { pairs: u32, two: f32, p: f32, half: f32, q: f32 }
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> given: Arguments;

@compute @workgroup_size(128)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let two = vec4<f32>(given.two);
    let p = vec4<f32>(given.p);
    let down = vec4<f32>(given.half);
    let q = vec4<f32>(given.q);
    var x = source[id.x];
    for (var pair = 0u; pair < given.pairs; pair += 8u) {
        x = fma(fma(x, two, p), down, q);
        x = fma(fma(x, two, p), down, q);
        x = fma(fma(x, two, p), down, q);
        x = fma(fma(x, two, p), down, q);
        x = fma(fma(x, two, p), down, q);
        x = fma(fma(x, two, p), down, q);
        x = fma(fma(x, two, p), down, q);
        x = fma(fma(x, two, p), down, q);
    }
    results[id.x] = x;
}
