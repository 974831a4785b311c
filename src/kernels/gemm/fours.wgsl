// Matrices of four numbers at once: n and k are multiples of 4.
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> size: Sizes;

fn load_a(row: u32, k: u32) -> vec4<f32> {
    if row < size.m && k < size.k { return a[(row * size.k + k) / 4u]; }
    return vec4<f32>();
}

fn load_b(k: u32, column: u32) -> vec4<f32> {
    if k < size.k && column < size.n { return b[(k * size.n + column) / 4u]; }
    return vec4<f32>();
}

fn store_c(row: u32, column: u32, sums: vec4<f32>) {
    if row < size.m && column < size.n { c[(row * size.n + column) / 4u] = sums; }
}
