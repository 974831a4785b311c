// Each of the eight threads of a query looks at all of its scores.
fn highest_of(row: u32, part: u32) -> f32 {
    var highest = NOTHING;
    for (var j = 0u; j < TILE; j++) { highest = max(highest, scores[row][j]); }
    return highest;
}

fn sum_of(row: u32, part: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < TILE; j++) { sum += scores[row][j]; }
    return sum;
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    attend(group, thread);
}
