//! The vendor's libraries on machines without a GPU: doubles that compute on the processor with the layouts, types and
//! operations that they are given, refuse what the libraries refuse, and fail on demand.

use crate::counters::double_path;
use crate::support::{FAST, Ran, Sandbox, events, of_kind};
use serde_json::Value;

/// A machine with one device and the libraries.
struct Machine {
    sandbox: Sandbox,
    /// Variables of libraries, and what they name.
    libraries: Vec<(&'static str, String)>,
}

const H200: &str = "device NVIDIA H200\nmemory-mib 1024\n";
const VARIABLES: [&str; 3] = ["WATTPROOF_CUBLASLT", "WATTPROOF_CUSPARSE", "WATTPROOF_CUSPARSELT"];

impl Machine {
    fn new(script: &str) -> Self {
        let sandbox = Sandbox::new();
        std::fs::create_dir(sandbox.path("lib")).unwrap();
        std::fs::copy(double_path("libcuda_double.so"), sandbox.path("lib/libcuda.so")).unwrap();
        sandbox.write("script", script);
        let library = sandbox.path("lib/libcuda.so").display().to_string();
        Self { sandbox, libraries: VARIABLES.map(|name| (name, library.clone())).into() }
    }

    /// With another library in place of this variable's.
    fn with(mut self, variable: &'static str, library: &str) -> Self {
        self.libraries.retain(|(name, _)| *name != variable);
        self.libraries.push((variable, library.to_owned()));
        self
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.sandbox.command(args);
        command
            .env("LD_LIBRARY_PATH", self.sandbox.path("lib"))
            .env("WATTPROOF_CUDA_DOUBLE", self.sandbox.path("script"))
            .env("WATTPROOF_NVRTC", self.sandbox.path("lib/libcuda.so"))
            .env("WATTPROOF_CACHE", self.sandbox.path("cache"))
            .env_remove("CUDA_VISIBLE_DEVICES")
            .envs(self.libraries.iter().map(|(name, path)| (name, path)));
        Ran::from(command.output().unwrap())
    }

    fn measure(&self, devices: &str, cases: &[&str]) -> Ran {
        let cases: String = cases.iter().map(|c| format!("  - {c}\n")).collect();
        let text = format!(
            "version: 1\nsuite: gpu\ntitle: On a device\nprofile: quick\n{FAST}\ndevices: {devices}\ncases:\n{cases}"
        );
        self.sandbox.write("gpu.yaml", text);
        self.run(&["run", "gpu.yaml", "--out", "out", "--allow-software"])
    }

    fn events(&self) -> Vec<Value> {
        events(&self.sandbox.path("out"))
    }

    fn voids(&self) -> Vec<(String, String)> {
        let word = |v: &Value| v.as_str().unwrap().to_owned();
        of_kind(&self.events(), "void").iter().map(|v| (word(&v["case"]), word(&v["reason"]))).collect()
    }

    /// Every prepared case passed its canary by this path, and every sample its check: (case, facts) of each.
    fn all_right(&self, path: &str, cases: usize) -> Vec<(String, Value)> {
        let events = self.events();
        let prepared = of_kind(&events, "prepared");
        assert_eq!(prepared.len(), cases, "{prepared:?}");
        for found in &prepared {
            assert_eq!(found["program"]["path"], path, "{found}");
            let canary = &found["canary"];
            // Not every kernel has one in double precision.
            if canary.is_null() {
                assert!(found["case"].as_str().unwrap().contains("-f64-"), "{found}");
                continue;
            }
            assert!(canary["error"].as_f64().unwrap() <= canary["limit"].as_f64().unwrap(), "{found}");
            let samples = of_kind(&events, "sample");
            let own: Vec<_> = samples.iter().filter(|s| s["case"] == found["case"]).collect();
            assert!(!own.is_empty(), "{found}");
            for sample in own {
                let check = &sample["correctness"];
                assert!(check["error"].as_f64().unwrap() <= check["limit"].as_f64().unwrap(), "{sample}");
            }
        }
        let case = |p: &Value| (p["case"].as_str().unwrap().to_owned(), p["program"]["facts"].clone());
        prepared.iter().map(|p| case(p)).collect()
    }
}

/// The double as a library that does not have this function: its name there is another one.
fn without(function: &str) -> tempfile::NamedTempFile {
    let mut bytes = std::fs::read(double_path("libcuda_double.so")).unwrap();
    let name = format!("\0{function}\0").into_bytes();
    let places: Vec<usize> = (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(&name)).collect();
    assert!(!places.is_empty(), "the double exports no {function}");
    for at in places {
        bytes[at + 1] = b'X';
    }
    let file = tempfile::Builder::new().suffix(".so").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// Odd sizes, one of each, and whole tiles.
const SHAPES: &str = "[1x1x1, 13x7x5, 33x65x129, 64x48x32]";

#[test]
fn dense_products_of_every_type_and_shape_are_right() {
    let machine = Machine::new(H200);
    let case = format!("{{ kernel: gemm, matrix: {{ dtype: [f32, f64, tf32, bf16, f16, i8, f8], shape: {SHAPES} }} }}");
    machine.measure("[\"cuda:*\"]", &[&case]).expect(0);
    let cases = machine.all_right("cublaslt", 28);
    let facts = |id: &str| cases.iter().find(|(case, _)| case.contains(id)).unwrap().1.to_string();
    assert!(facts("gemm-i8-m13-n7-k5").contains("k = 5 held as 16, n = 7 held as 16"), "{cases:?}");
    assert!(facts("gemm-f32-m13").contains("id 60, tile 61"), "{cases:?}");
    assert!(facts("gemm-f32-m13").contains("13.0.2") && !facts("gemm-f32-m13").contains("transposed"));
}

#[test]
fn tf32_passed_off_as_binary32_fails_the_canary_and_tf32_itself_passes() {
    let machine = Machine::new(&format!("silent-tf32 yes\n{H200}"));
    machine.measure("[\"cuda:*\"]", &["{ kernel: gemm, matrix: { dtype: [f32, tf32], shape: 33x65x129 } }"]).expect(5);
    let voids = machine.voids();
    assert!(voids.len() == 1 && voids[0].0.contains("gemm-f32") && voids[0].1.contains("canary"), "{voids:?}");
    let events = machine.events();
    assert!(of_kind(&events, "sample").iter().all(|s| s["case"].as_str().unwrap().contains("gemm-tf32")));
}

#[test]
fn a_canary_of_a_library_is_as_large_as_its_case_and_sees_what_is_done_to_large_ones_only() {
    // Products from 120 on are computed by another algorithm, in bfloat16: the check of a TF32 product, whose limit is wide,
    // lets that pass, and so would a canary of 92.
    let machine = Machine::new(&format!("narrow-from 120\n{H200}"));
    let case = "{ kernel: gemm, matrix: { dtype: [tf32, f32], shape: [112x112x64, 130x128x96] } }";
    machine.measure("[\"cuda:*\"]", &[case]).expect(5);
    let voids = machine.voids();
    assert_eq!(voids.len(), 2, "{voids:?}");
    assert!(
        voids.iter().all(|(id, why)| id.contains("m130") && why.contains("at the size of the case` failed")),
        "{voids:?}"
    );
    let events = machine.events();
    let prepared = of_kind(&events, "prepared");
    assert_eq!(prepared.len(), 2, "{prepared:?}");
    for found in prepared {
        assert!(found["canary"]["name"].as_str().unwrap().ends_with("at the size of the case"), "{found}");
        let facts = found["program"]["facts"].as_array().unwrap();
        assert!(facts.contains(&serde_json::json!(["canary-algorithm", "the case's"])), "{found}");
    }
    // That is what a canary of 92 misses: sums of 31 are shorter than its own, so this case cannot hold it.
    let machine = Machine::new(&format!("narrow-from 100\n{H200}"));
    machine.measure("[\"cuda:*\"]", &["{ kernel: gemm, matrix: { dtype: tf32, shape: 112x112x31 } }"]).expect(0);
    machine.all_right("cublaslt", 1);
    // A case that is smaller than the canary has a canary of its own size, and says whose algorithm that was.
    let machine = Machine::new(H200);
    machine.measure("[\"cuda:*\"]", &["{ kernel: gemm, matrix: { dtype: f32, shape: 33x17x9 } }"]).expect(0);
    let facts = machine.all_right("cublaslt", 1)[0].1.to_string();
    assert!(facts.contains("canary-algorithm"), "{facts}");
    let prepared = machine.events();
    let name = of_kind(&prepared, "prepared")[0]["canary"]["name"].as_str().unwrap().to_owned();
    assert!(!name.contains("at the size"), "{name}");
}

#[test]
fn a_library_that_stops_computing_leaves_the_poison_and_is_refused() {
    // It answers with success and does nothing: from the first call on, and after the canary and some of the windows.
    for (failure, kernel) in [
        ("cublasLtMatmul 0", "{ kernel: gemm, matrix: { dtype: f32, shape: 33x17x9 } }"),
        ("cublasLtMatmul 0 3", "{ kernel: gemm, matrix: { dtype: i8, shape: 33x17x9 } }"),
        ("cusparseSpMV 0 3", "{ kernel: spmv-csr, matrix: { shape: 41x101 } }"),
        ("cusparseLtMatmul 0 3", "{ kernel: spmm-2-4, matrix: { dtype: bf16, shape: 16x16x16 } }"),
    ] {
        let machine = Machine::new(&format!("fail {failure}\n{H200}"));
        machine.measure("[\"cuda:*\"]", &[kernel]).expect(5);
        assert_eq!(machine.voids().len(), 1, "{failure}");
    }
}

#[test]
fn a_missing_or_unfit_library_is_a_skip_with_its_reason() {
    const GEMM: &str = "{ kernel: gemm, matrix: { dtype: tf32, shape: 8x8x8, program: library } }";
    let skip = |machine: &Machine| {
        let ran = machine.measure("[\"cuda:*\"]", &[GEMM]);
        format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = skip(&Machine::new(H200).with("WATTPROOF_CUBLASLT", "/nonexistent/libcublasLt.so.13"));
    assert!(said.contains("/nonexistent/libcublasLt.so.13") && said.contains("nvidia-cublas"), "{said}");
    let older = without("cublasLtMatmulAlgoGetHeuristic");
    let said = skip(&Machine::new(H200).with("WATTPROOF_CUBLASLT", &older.path().display().to_string()));
    assert!(said.contains("lacks the function cublasLtMatmulAlgoGetHeuristic: install a newer one"), "{said}");
    let other = double_path("libnvml_double.so").display().to_string();
    let said = skip(&Machine::new(H200).with("WATTPROOF_CUBLASLT", &other));
    assert!(said.contains("a real one beside a stand-in of the driver"), "{said}");
    let said = skip(&Machine::new(&format!("fail cublasLtGetCudartVersion 14000\n{H200}")));
    assert!(said.contains("CUDA 14.0, newer than the driver"), "{said}");
    // The devices say the same.
    let machine = Machine::new(H200).with("WATTPROOF_CUBLASLT", "/nonexistent/libcublasLt.so.13");
    let listed = machine.run(&["list", "devices", "--format", "json"]).expect(0).stdout;
    assert!(listed.contains("nvidia-cublas"), "{listed}");
}

#[test]
fn a_type_that_the_device_lacks_is_a_skip_with_both_numbers() {
    let machine = Machine::new(&format!("{H200}capability 8 0\n"));
    let ran =
        machine.measure("[\"cuda:*\"]", &["{ kernel: gemm, matrix: { dtype: [f16, f8], shape: 8x8x8 } }"]).expect(0);
    let said = format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("f8 needs compute capability 8.9, the device has 8.0"), "{said}");
    machine.all_right("cublaslt", 1);
}

#[test]
fn statuses_become_words_with_advice_and_void_one_case() {
    for (failure, words) in [
        ("cublasLtCreate 1", "CUBLAS_STATUS_NOT_INITIALIZED (1); the library does not start"),
        ("cublasLtMatmulAlgoGetHeuristic 15", "no algorithm for f32, 8×8×8"),
        ("cublasLtMatmulAlgoGetHeuristic 14", "CUBLAS_STATUS_INTERNAL_ERROR (14)"),
        ("cublasLtMatmul 13", "CUBLAS_STATUS_EXECUTION_FAILED (13); the kernel log"),
        ("cublasLtMatmul 15", "CUBLAS_STATUS_NOT_SUPPORTED (15)"),
        ("cublasLtMatrixLayoutCreate 3 2", "CUBLAS_STATUS_ALLOC_FAILED (3); free memory"),
        // The fourth allocation is the workspace.
        ("cuMemAlloc_v2 2 3", "out of memory"),
    ] {
        let machine = Machine::new(&format!("fail {failure}\n{H200}"));
        machine.measure("[cpu, \"cuda:*\"]", &["{ kernel: gemm, matrix: { dtype: f32, shape: 8x8x8 } }"]).expect(5);
        let voids = machine.voids();
        assert!(voids.len() == 1 && voids[0].1.contains(words), "{failure}: {voids:?}");
        let events = machine.events();
        assert!(of_kind(&events, "sample").iter().any(|s| s["case"].as_str().unwrap().contains("-t-all")), "{failure}");
    }
}

const SPARSE: [&str; 3] = [
    "{ kernel: spmv-csr, matrix: { dtype: [f32, f64], shape: [1x1, 41x101], density: [1, 0.2] } }",
    "{ kernel: spmm-csr, matrix: { dtype: [f32, f64, bf16], shape: [1x1x1, 53x41x17], density: [1, 0.2] } }",
    "{ kernel: spmm-bsr, matrix: { dtype: [f32, f64], shape: [32x48x1, 96x64x37], block: [16], density: [1, 0.4] } }",
];

#[test]
fn sparse_products_are_right_and_say_how_they_are_held() {
    let machine = Machine::new(H200);
    machine.measure("[\"cuda:*\"]", &SPARSE).expect(0);
    let cases = machine.all_right("cusparse", 28);
    let facts = |id: &str| cases.iter().find(|(case, _)| case.contains(id)).unwrap().1.to_string();
    assert!(facts("spmv-csr").contains("CUSPARSE_SPMV_CSR_ALG1") && facts("spmv-csr").contains("12.6.3"), "{cases:?}");
    assert!(facts("spmm-csr").contains("CUSPARSE_SPMM_CSR_ALG2"));
    assert!(facts("spmm-bsr").contains("CUSPARSE_SPMM_BSR_ALG1") && facts("spmm-bsr").contains("row by row"));
}

#[test]
fn products_of_2_of_4_are_right_in_every_type_and_odd_shape() {
    let machine = Machine::new(H200);
    let case = "{ kernel: spmm-2-4, matrix: { dtype: [bf16, f16, i8], shape: [1x8x1, 11x232x53, 64x64x32] } }";
    machine.measure("[\"cuda:*\"]", &[case]).expect(0);
    let cases = machine.all_right("cusparselt", 9);
    let facts = |id: &str| cases.iter().find(|(case, _)| case.contains(id)).unwrap().1.to_string();
    assert!(facts("spmm-2-4-bf16-m11").contains("11×232×53 held as 16×240×64"), "{cases:?}");
    assert!(facts("spmm-2-4-bf16-m11").contains("the fastest by its search"), "{cases:?}");
    assert!(facts("spmm-2-4-i8-m11").contains("B transposed; 11×232×53 held as 32×256×64"), "{cases:?}");
}

#[test]
fn a_search_that_fails_leaves_the_default_and_says_so() {
    let machine = Machine::new(&format!("fail cusparseLtMatmulSearch 10\n{H200}"));
    machine.measure("[\"cuda:*\"]", &["{ kernel: spmm-2-4, matrix: { dtype: bf16, shape: 11x232x53 } }"]).expect(0);
    let facts = machine.all_right("cusparselt", 1)[0].1.to_string();
    assert!(facts.contains("the default; cusparseLtMatmulSearch: CUSPARSE_STATUS_NOT_SUPPORTED (10)"), "{facts}");
}

#[test]
fn sparse_libraries_that_fail_void_their_case_with_words() {
    const CSR: &str = "{ kernel: spmm-csr, matrix: { shape: 8x8x8 } }";
    const HALF: &str = "{ kernel: spmm-2-4, matrix: { dtype: bf16, shape: 8x8x8 } }";
    for (failure, case, words) in [
        ("cusparseCreate 1", CSR, "CUSPARSE_STATUS_NOT_INITIALIZED (1); the library does not start"),
        ("cusparseSpMM_bufferSize 10", CSR, "CUSPARSE_STATUS_NOT_SUPPORTED (10); the library has no program"),
        ("cusparseSpMM_preprocess 2", CSR, "CUSPARSE_STATUS_ALLOC_FAILED (2); free memory"),
        ("cusparseSpMM 6", CSR, "cusparseSpMM: CUSPARSE_STATUS_EXECUTION_FAILED (6)"),
        // The sixth allocation is the buffer.
        ("cuMemAlloc_v2 2 5", CSR, "out of memory"),
        ("cusparseLtInit 1", HALF, "CUSPARSE_STATUS_NOT_INITIALIZED (1)"),
        (
            "cusparseLtStructuredDescriptorInit 10",
            HALF,
            "cusparseLtStructuredDescriptorInit: CUSPARSE_STATUS_NOT_SUPPORTED",
        ),
        ("cusparseLtSpMMACompress 7", HALF, "cusparseLtSpMMACompress: CUSPARSE_STATUS_INTERNAL_ERROR (7)"),
        ("cusparseLtMatmul 11", HALF, "CUSPARSE_STATUS_INSUFFICIENT_RESOURCES (11); free memory"),
    ] {
        let machine = Machine::new(&format!("fail {failure}\n{H200}"));
        machine.measure("[\"cuda:*\"]", &[case]).expect(5);
        let voids = machine.voids();
        assert!(voids.len() == 1 && voids[0].1.contains(words), "{failure}: {voids:?}");
    }
}

#[test]
fn libraries_that_are_missing_skip_their_kernels_with_what_to_install() {
    for (variable, case, wheel) in [
        ("WATTPROOF_CUSPARSE", "{ kernel: spmv-csr, matrix: { shape: 8x8, program: library } }", "nvidia-cusparse"),
        (
            "WATTPROOF_CUSPARSELT",
            "{ kernel: spmm-2-4, matrix: { dtype: f16, shape: 8x8x8, program: library } }",
            "nvidia-cusparselt-cu13",
        ),
    ] {
        let ran = Machine::new(H200).with(variable, "/nonexistent.so").measure("[cpu, \"cuda:*\"]", &[case]);
        let said = format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(wheel) && said.contains(variable), "{said}");
        assert!(said.contains("the processor runs the kernels' own programs only"), "{said}");
    }
}
