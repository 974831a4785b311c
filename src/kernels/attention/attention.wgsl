// softmax(Q·Kᵀ/√dim)·V for 32 queries a group of 256 threads. Scores of 32 keys are made together, turned into weights
// with the largest score so far, and the sums made with an earlier one are rescaled (online softmax, Milakov and
// Gimelshein, 2018). Eight threads have a query between them. The files before this one give CHUNKS, sets of 32 elements that
// hold dim, and how the eight come to know the largest and the sum of their query's scores: `highest_of` and `sum_of`.
struct Sizes { seq: u32, dim: u32, causal: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> queries: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<uniform> size: Sizes;

const TILE: u32 = 32u;
// Below every score of finite operands.
const NOTHING: f32 = -3.0e38;
// One column more than needed: rows then begin in different banks.
var<workgroup> some_q: array<array<f32, 17>, TILE>;
var<workgroup> some_k: array<array<f32, 17>, TILE>;
var<workgroup> scores: array<array<f32, 33>, TILE>;
var<workgroup> some_v: array<array<vec4<f32>, 8>, TILE>;

// exp of what is not positive, right to the last bits: Cephes, expf (Moshier, 1989). That of WGSL may be off by 2·|x| units
// in the last place.
fn exponential(x: f32) -> f32 {
    if x < -87.0 { return 0.0; }
    let n = round(x * 1.44269504);
    let r = fma(n, 2.12194440e-4, fma(n, -0.693359375, x));
    var p = fma(1.9875691500e-4, r, 1.3981999507e-3);
    p = fma(p, r, 8.3334519073e-3);
    p = fma(p, r, 4.1665795894e-2);
    p = fma(p, r, 1.6666665459e-1);
    p = fma(p, r, 5.0000001201e-1);
    p = fma(p, r * r, r) + 1.0;
    return p * bitcast<f32>(u32(i32(n) + 127) << 23u);
}

fn visible(query: u32, key: u32) -> bool {
    if key >= size.seq { return false; }
    if size.causal == 0u { return true; }
    return key <= query && query - key < size.window;
}

fn attend(group: vec3<u32>, thread: u32) {
    let at = vec2<u32>(thread % 16u, thread / 16u);
    let first_query = group.x * TILE;
    let head = group.y * size.seq;
    // What this thread keeps of the output: four elements of each chunk of one query.
    let row = thread / 8u;
    let part = thread % 8u;
    var sums: array<vec4<f32>, CHUNKS>;
    for (var i = 0u; i < CHUNKS; i++) { sums[i] = vec4<f32>(); }
    var top = NOTHING;
    var total = 0.0;

    var first_key = 0u;
    var end_key = size.seq;
    if size.causal != 0u {
        end_key = min(size.seq, first_query + TILE);
        if first_query + 1u > size.window { first_key = (first_query + 1u - size.window) / TILE * TILE; }
    }
    for (var key = first_key; key < end_key; key += TILE) {
        var four = vec4<f32>();
        for (var first = 0u; first < size.dim; first += 16u) {
            for (var i = 0u; i < 2u; i++) {
                let line = at.y + 16u * i;
                var q = 0.0;
                var k = 0.0;
                if first + at.x < size.dim {
                    if first_query + line < size.seq {
                        q = queries[(head + first_query + line) * size.dim + first + at.x];
                    }
                    if key + line < size.seq { k = keys[(head + key + line) * size.dim + first + at.x]; }
                }
                some_q[line][at.x] = q;
                some_k[line][at.x] = k;
            }
            workgroupBarrier();
            for (var d = 0u; d < 16u; d++) {
                let q = vec2<f32>(some_q[at.y][d], some_q[at.y + 16u][d]);
                let k = vec2<f32>(some_k[at.x][d], some_k[at.x + 16u][d]);
                four = fma(q.xxyy, k.xyxy, four);
            }
            workgroupBarrier();
        }
        for (var i = 0u; i < 4u; i++) {
            let line = at.y + 16u * (i / 2u);
            let column = at.x + 16u * (i % 2u);
            let seen = visible(first_query + line, key + column);
            scores[line][column] = select(NOTHING, four[i] * size.scale, seen);
        }
        workgroupBarrier();
        let highest = max(top, highest_of(row, part));
        let earlier = exponential(top - highest);
        top = highest;
        // Each of the eight threads of a query has read all scores before any becomes a weight.
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            let column = part * 4u + i;
            let score = scores[row][column];
            scores[row][column] = select(0.0, exponential(score - top), score > NOTHING);
        }
        workgroupBarrier();
        total = fma(total, earlier, sum_of(row, part));
        for (var chunk = 0u; chunk < CHUNKS; chunk++) {
            let element = chunk * TILE + part * 4u;
            var loaded = vec4<f32>();
            if key + row < size.seq {
                for (var i = 0u; i < 4u; i++) {
                    if element + i < size.dim { loaded[i] = values[(head + key + row) * size.dim + element + i]; }
                }
            }
            some_v[row][part] = loaded;
            workgroupBarrier();
            var sum = sums[chunk] * earlier;
            for (var j = 0u; j < TILE; j++) { sum = fma(vec4<f32>(scores[row][j]), some_v[j][part], sum); }
            sums[chunk] = sum;
            workgroupBarrier();
        }
    }
    let query = first_query + row;
    if query < size.seq {
        for (var chunk = 0u; chunk < CHUNKS; chunk++) {
            for (var i = 0u; i < 4u; i++) {
                let element = chunk * TILE + part * 4u + i;
                if element < size.dim { output[(head + query) * size.dim + element] = sums[chunk][i] / total; }
            }
        }
    }
}
