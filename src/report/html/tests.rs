use super::*;
use crate::report::plots::specimen::specimen;

#[test]
fn look() {
    for n in [3, 17, 60] {
        let html = render(&specimen(n, &|s| s.to_owned())).unwrap();
        std::fs::write(format!("/tmp/look/h{n}.html"), html).unwrap();
    }
}
