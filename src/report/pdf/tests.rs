use super::*;
use crate::report::plots::specimen::specimen;

#[test]
fn look() {
    for n in [3, 60] {
        let pdf = render(&specimen(n, &|s| s.to_owned()));
        std::fs::write(format!("/tmp/look/p{n}.pdf"), pdf.unwrap()).unwrap();
    }
}
