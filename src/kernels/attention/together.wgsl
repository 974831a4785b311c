// Each of the eight threads of a query looks at four of its scores; they exchange what they found within their subgroup, which
// has eight threads or more. Threads are numbered by their places in subgroups, so that the eight are neighbours there.
fn highest_of(row: u32, part: u32) -> f32 {
    let first = part * 4u;
    var highest = max(max(scores[row][first], scores[row][first + 1u]), max(scores[row][first + 2u], scores[row][first + 3u]));
    highest = max(highest, subgroupShuffleXor(highest, 1u));
    highest = max(highest, subgroupShuffleXor(highest, 2u));
    return max(highest, subgroupShuffleXor(highest, 4u));
}

fn sum_of(row: u32, part: u32) -> f32 {
    let first = part * 4u;
    var sum = (scores[row][first] + scores[row][first + 1u]) + (scores[row][first + 2u] + scores[row][first + 3u]);
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    return sum + subgroupShuffleXor(sum, 4u);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) slot: u32,
    @builtin(subgroup_size) lanes: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    attend(group, slot * lanes + lane);
}
