// Matrices of single numbers: any shape.
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> size: Sizes;

fn load_a(row: u32, k: u32) -> vec4<f32> {
    var four = vec4<f32>();
    if row < size.m {
        for (var i = 0u; i < 4u; i++) {
            if k + i < size.k { four[i] = a[row * size.k + k + i]; }
        }
    }
    return four;
}

fn load_b(k: u32, column: u32) -> vec4<f32> {
    var four = vec4<f32>();
    if k < size.k {
        for (var i = 0u; i < 4u; i++) {
            if column + i < size.n { four[i] = b[k * size.n + column + i]; }
        }
    }
    return four;
}

fn store_c(row: u32, column: u32, sums: vec4<f32>) {
    if row < size.m {
        for (var i = 0u; i < 4u; i++) {
            if column + i < size.n { c[row * size.n + column + i] = sums[i]; }
        }
    }
}
