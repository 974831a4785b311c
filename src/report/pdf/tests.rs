use super::*;
use crate::report::plots::specimen::specimen;

#[test]
fn look() {
    let clock = crate::clock::Clock::start();
    let model = specimen(50, &|s| s.to_owned());
    for _ in 0..4 {
        let from = clock.now();
        let pdf = render(&model).unwrap();
        println!("{:?}", clock.now().since(from));
        std::fs::write("/tmp/look/p50.pdf", pdf).unwrap();
    }
}
