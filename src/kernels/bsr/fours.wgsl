// B and C of four numbers at once: n is a multiple of 4.
@group(0) @binding(3) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;

fn load_b(row: u32, column: u32) -> vec4<f32> {
    if column < size.n { return b[(row * size.n + column) / 4u]; }
    return vec4<f32>();
}

fn store_c(row: u32, column: u32, sums: vec4<f32>) {
    if column < size.n { c[(row * size.n + column) / 4u] = sums; }
}
