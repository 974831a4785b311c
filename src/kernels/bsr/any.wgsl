// B and C of single numbers: any n.
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn load_b(row: u32, column: u32) -> vec4<f32> {
    var four = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
        if column + i < size.n { four[i] = b[row * size.n + column + i]; }
    }
    return four;
}

fn store_c(row: u32, column: u32, sums: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        if column + i < size.n { c[row * size.n + column + i] = sums[i]; }
    }
}
