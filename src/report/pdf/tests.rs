use super::*;
use crate::record::fixture;

#[test]
fn look() {
    let clock = crate::clock::Clock::start();
    for (name, record) in [
        ("warm", fixture::cpu_only()),
        ("rapl", fixture::with_rapl()),
        ("cpu", fixture::cpu_only()),
        ("fifty", fixture::fifty_cases()),
        ("hostile", fixture::hostile()),
        ("gpu", fixture::with_gpu()),
        ("wrong", fixture::wrong_answer()),
        ("est", fixture::estimated()),
    ] {
        let model = ReportModel::of(&record);
        let from = clock.now();
        let pdf = render(&model);
        println!("{name} {:?}", clock.now().since(from));
        std::fs::write(format!("/tmp/look/{name}.html"), crate::report::html::render(&model).unwrap()).unwrap();
        std::fs::write(format!("/tmp/look/{name}.pdf"), pdf.unwrap()).unwrap();
    }
}
