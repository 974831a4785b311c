// Matrices of SIDE×SIDE that the threads of a subgroup hold together. Operands lie row by row in `left` and `right`, sums
// in `scratch`, where each subgroup has a place of its own; these three are shared memory of the program that follows.
fn take_left(at: u32, stride: u32) -> Left { return coopLoadT<Left>(&left[at], stride); }
fn take_right(at: u32, stride: u32) -> Right { return coopLoadT<Right>(&right[at], stride); }
fn take_sums(at: u32, stride: u32) -> Sums { return coopLoadT<Sums>(&scratch[at], stride); }
fn multiply(a: Left, b: Right, sums: Sums) -> Sums { return coopMultiplyAdd(a, b, sums); }
fn give(sums: Sums, at: u32, stride: u32) { coopStoreT(sums, &scratch[at], stride); }
