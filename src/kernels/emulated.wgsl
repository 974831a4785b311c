// The functions of cooperative.wgsl without cooperative matrices. Each of the first eight threads of a subgroup holds every
// eighth row of sums, as threads hold parts of a cooperative matrix; operands stay where they lie until they are multiplied.
struct Place { at: u32, stride: u32 }
alias Left = Place;
alias Right = Place;
alias Sums = array<vec4<f32>, SIDE * SIDE / 32u>;
var<private> me: u32;

// Compilers cannot tell that this is 0, so they leave loops as they are: unrolled, sixteen times over, they take minutes.
fn zero() -> u32 { return me / 1024u; }

fn take_left(at: u32, stride: u32) -> Left { return Place(at, stride); }
fn take_right(at: u32, stride: u32) -> Right { return Place(at, stride); }

fn take_sums(at: u32, stride: u32) -> Sums {
    var mine: Sums;
    for (var i = 0u; i < SIDE * SIDE / 32u; i++) {
        let place = at + (me % 8u + i / (SIDE / 4u) * 8u) * stride + i % (SIDE / 4u) * 4u;
        mine[i] = vec4<f32>(scratch[place], scratch[place + 1u], scratch[place + 2u], scratch[place + 3u]);
    }
    return mine;
}

fn multiply(a: Left, b: Right, sums: Sums) -> Sums {
    var mine = sums;
    for (var k = zero(); k < SIDE; k++) {
        for (var i = 0u; i < SIDE * SIDE / 32u; i++) {
            let place = b.at + k * b.stride + i % (SIDE / 4u) * 4u;
            let across = vec4<E>(right[place], right[place + 1u], right[place + 2u], right[place + 3u]);
            let down = left[a.at + (me % 8u + i / (SIDE / 4u) * 8u) * a.stride + k];
            mine[i] = fma(vec4<f32>(f32(down)), vec4<f32>(across), mine[i]);
        }
    }
    return mine;
}

fn give(sums: Sums, at: u32, stride: u32) {
    var mine = sums;
    if me < 8u {
        for (var i = 0u; i < SIDE * SIDE / 32u; i++) {
            let to = at + (me + i / (SIDE / 4u) * 8u) * stride + i % (SIDE / 4u) * 4u;
            for (var j = 0u; j < 4u; j++) { scratch[to + j] = mine[i][j]; }
        }
    }
}
