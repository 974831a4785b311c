//! Runs kernels on request, so that a driver can let them take turns with other libraries.
//!
//! ```text
//! cargo run --release --example kernel_server
//! case gemm f32 1 m=1024 n=1024 k=1024        kernel, element type, threads, parameters
//! operands FOLDER                             writes each operand as FOLDER/NAME.npy
//! run 0.05                                    runs for at least so many seconds
//! answer FOLDER                               checks the last answer and writes it as FOLDER/NAME.npy
//! ```
//!
//! Every line is answered by one line of JSON. An answer with `error` says why something cannot be had; the
//! server goes on. Threads are those of the product: pinned, and asleep 100 µs after the last iteration, so
//! that a server that waits does not disturb the program whose turn it is. See ci/peers.sh.

#![expect(clippy::print_stdout, reason = "the answers are its output")]

use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use wattproof::backends::cpu::CpuBackend;
use wattproof::backends::{Backend, Workload};
use wattproof::clock::{Clock, thread_cpu_time};
use wattproof::host::Host;
use wattproof::kernels::{self, Array, BuildContext, Dtype, Isa, Kernel, ParamValue, Params, Team};
use wattproof::suite::{CacheState, Case, DeviceId, Threads};

type Failure = Box<dyn std::error::Error>;

/// Seed of every input.
const SEED: u64 = 20_260_407;

/// The thread that generates operands.
struct Alone;

impl Team for Alone {
    fn threads(&self) -> usize {
        1
    }
    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}

/// A case that is ready to run.
struct Prepared {
    kernel: &'static dyn Kernel,
    params: Params,
    workload: Box<dyn Workload>,
}

struct Server {
    backend: CpuBackend,
    clock: Clock,
    case: Option<Prepared>,
}

/// `m=64 density=0.1` as parameters; what is left out has its default.
fn parameters<'a>(kernel: &dyn Kernel, dtype: Dtype, words: impl Iterator<Item = &'a str>) -> Result<Params, Failure> {
    let defaults = kernel.info().params.iter().filter_map(|spec| Some((spec.name.to_owned(), spec.default?.into())));
    let mut params = Params { dtype, values: defaults.collect() };
    for word in words {
        let (name, text) = word.split_once('=').ok_or_else(|| format!("`{word}` is not NAME=VALUE"))?;
        let value = match (text.parse::<u64>(), text.parse::<f64>()) {
            (Ok(whole), _) => ParamValue::Integer(whole),
            (_, Ok(real)) => ParamValue::Real(real),
            _ => ParamValue::Word(text.to_owned()),
        };
        params.values.insert(name.to_owned(), value);
    }
    kernel.info().check(&params)?;
    Ok(params)
}

fn write(folder: &str, array: &Array) -> Result<(), Failure> {
    let path = Path::new(folder).join(format!("{}.npy", array.name));
    std::fs::write(&path, array.npy()).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(())
}

impl Server {
    fn prepare(&mut self, words: &[&str]) -> Result<Value, Failure> {
        let [id, dtype, threads, rest @ ..] = words else {
            return Err("expected: case KERNEL TYPE THREADS [NAME=VALUE]…".into());
        };
        // The memory of the last case is free before that of the next is asked for.
        self.case = None;
        let kernel = kernels::find(id).ok_or_else(|| format!("no kernel is called `{id}`"))?;
        let known = Dtype::ALL.iter().find(|d| d.name() == *dtype);
        let dtype = *known.ok_or_else(|| format!("no element type is called `{dtype}`"))?;
        let params = parameters(kernel, dtype, rest.iter().copied())?;
        let work = kernel.work(&params)?;
        let threads = Threads::Count(threads.parse().map_err(|_| format!("`{threads}` is no number of threads"))?);
        let case = Case {
            id: words.join(" "),
            kernel: (*id).to_owned(),
            params: params.clone(),
            threads,
            device: DeviceId::cpu(),
            cache: CacheState::Warm,
            line: 1,
        };
        let workload = self.backend.prepare(&case, SEED)?;
        let program = workload.program();
        self.case = Some(Prepared { kernel, params, workload });
        let (flops, bytes) = (work.useful.get(), work.bytes.get());
        Ok(json!({ "path": program.path, "cpus": program.cpus, "flops": flops, "bytes": bytes }))
    }

    fn prepared(&mut self) -> Result<&mut Prepared, Failure> {
        self.case.as_mut().ok_or_else(|| "no case is prepared".into())
    }

    fn operands(&mut self, folder: &str) -> Result<Value, Failure> {
        let Prepared { kernel, params, .. } = self.prepared()?;
        let arrays = kernel.operands(params, &BuildContext { seed: SEED, isa: Isa::detect(), team: &Alone })?;
        if arrays.is_empty() {
            return Err(format!("`{}` in {} hands out no operands", kernel.info().id, params.dtype).into());
        }
        arrays.iter().try_for_each(|array| write(folder, array))?;
        Ok(json!({ "operands": arrays.iter().map(|a| a.name).collect::<Vec<_>>() }))
    }

    /// Runs until `seconds` are over, in rounds of twice the length; one look at the clock a round.
    fn run(&mut self, seconds: f64) -> Result<Value, Failure> {
        let clock = self.clock;
        let workload = &mut self.prepared()?.workload;
        let (start, cpu) = (clock.now(), thread_cpu_time());
        let (mut done, mut round) = (0, 1);
        loop {
            workload.run(round)?;
            done += round;
            round = done;
            let wall = clock.now().since(start).get();
            if wall >= seconds {
                let cpu = (thread_cpu_time().get() - cpu.get()) / done as f64;
                return Ok(json!({ "wall_s": wall / done as f64, "cpu_s": cpu, "iterations": done }));
            }
        }
    }

    fn answer(&mut self, folder: &str) -> Result<Value, Failure> {
        let workload = &mut self.prepared()?.workload;
        workload.poison();
        workload.run(1)?;
        let check = workload.check();
        if !check.passed() {
            return Err(format!("the answer is wrong: {check:?}").into());
        }
        let output = workload.output().ok_or("the kernel does not hand out its answer")?;
        write(folder, &output)?;
        Ok(json!({ "answer": output.name }))
    }

    fn serve(&mut self, line: &str) -> Result<Value, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["case", ref rest @ ..] => self.prepare(rest),
            ["operands", folder] => self.operands(folder),
            ["run", seconds] => self.run(seconds.parse()?),
            ["answer", folder] => self.answer(folder),
            _ => Err(format!("unknown request `{line}`; known are case, operands, run and answer").into()),
        }
    }
}

fn main() -> Result<(), Failure> {
    let backend = CpuBackend::new(&Host::real());
    let mut server = Server { backend, clock: Clock::start(), case: None };
    for line in std::io::stdin().lock().lines() {
        let answer = server.serve(&line?).unwrap_or_else(|e| json!({ "error": e.to_string() }));
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
