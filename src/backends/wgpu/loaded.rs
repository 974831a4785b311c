//! A kernel's program on an open device: its buffers filled, its launches compiled and bound.

use super::device::Opened;
use super::timing::{PASSES, Timing};
use crate::backends::BackendError;
use crate::kernels::{Argument, Array, DeviceBuffer, DeviceProgram, Init, Launch, operand};
use std::rc::Rc;
use wgpu::BufferUsages;

/// Fills a buffer with one word.
const FILL: &str = include_str!("fill.wgsl");
/// Threads of a group of it.
const FILL_THREADS: u32 = 256;
/// Most groups of it; each thread then fills several words.
const FILL_GROUPS: u32 = 4096;

/// A program ready to run.
pub(super) struct Loaded {
    opened: Rc<Opened>,
    steps: Vec<Step>,
    fills: Vec<Step>,
    output: (wgpu::Buffer, DeviceBuffer),
    shape: Vec<usize>,
    elements: usize,
}

/// One launch, compiled and bound.
struct Step {
    pipeline: Rc<wgpu::ComputePipeline>,
    bindings: wgpu::BindGroup,
    grid: [u32; 3],
}

impl Loaded {
    /// Makes the buffers, fills them from `operands` and compiles the launches.
    ///
    /// # Errors
    /// [`BackendError`] when an operand is missing, memory does not suffice or the driver refuses.
    pub(super) fn new(opened: Rc<Opened>, program: &DeviceProgram, operands: &[Array]) -> Result<Self, BackendError> {
        let mut buffers = Vec::new();
        for buffer in &program.buffers {
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
            // A buffer of zeros needs nothing: wgpu clears what it hands out.
            let made = opened.buffer(buffer.name, buffer.bytes(), usage)?;
            if let Init::Operand(name) = buffer.init {
                opened.upload(buffer.name, &made, &buffer.format.encode(operand(operands, name, buffer.len)?))?;
            }
            buffers.push(made);
        }
        let steps = program.steps.iter().map(|step| Step::new(&opened, step, &buffers)).collect::<Result<_, _>>()?;
        let poisoned = program.buffers.iter().zip(&buffers).filter(|(b, _)| b.init == Init::Poison);
        let fills = poisoned.map(|(b, made)| Step::fill(&opened, b, made)).collect::<Result<_, _>>()?;
        let output = program.buffers.get(program.output).zip(buffers.get(program.output));
        let (described, made) = output.ok_or_else(|| opened.failed("the program names no buffer for its answer"))?;
        let elements = program.shape.iter().product::<usize>().min(described.len);
        let (output, shape) = ((made.clone(), described.clone()), program.shape.clone());
        let loaded = Self { opened, steps, fills, output, shape, elements };
        loaded.poison()?;
        Ok(loaded)
    }

    /// Overwrites the outputs, and waits for it.
    pub(super) fn poison(&self) -> Result<(), BackendError> {
        self.opened.guarded("poisoning the outputs", || {
            let mut encoder = self.opened.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                self.fills.iter().for_each(|step| step.dispatch(&mut pass));
            }
            self.opened.queue.submit([encoder.finish()]);
        })?;
        self.opened.wait()
    }

    /// Runs all steps `iterations` times and waits for the last. They are submitted in a few passes, so that the
    /// device works on one while the next is written down.
    pub(super) fn run(&self, iterations: u64, mut timing: Option<&mut Timing>) -> Result<(), BackendError> {
        let each = iterations.div_ceil(u64::from(PASSES)).max(1);
        let (mut left, mut pass) = (iterations, 0);
        while left > 0 {
            let count = each.min(left);
            left -= count;
            let last = left == 0;
            self.opened.guarded("running", || {
                let mut encoder = self.opened.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                {
                    let timestamp_writes = timing.as_ref().map(|t| t.writes(pass));
                    let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                    let mut recorded = encoder.begin_compute_pass(&descriptor);
                    for _ in 0..count {
                        self.steps.iter().for_each(|step| step.dispatch(&mut recorded));
                    }
                }
                if let Some(timing) = timing.as_mut().filter(|_| last) {
                    timing.keep(&mut encoder, pass + 1);
                }
                self.opened.queue.submit([encoder.finish()]);
            })?;
            pass += 1;
        }
        self.opened.wait()
    }

    /// The answer that the last run left.
    pub(super) fn answer(&self) -> Result<Array, BackendError> {
        let (buffer, described) = &self.output;
        let bytes = self.opened.download("the answer", buffer, self.elements * described.format.size())?;
        Ok(Array { name: described.name, shape: self.shape.clone(), values: described.format.decode(&bytes) })
    }
}

impl Step {
    fn new(opened: &Opened, launch: &Launch, buffers: &[wgpu::Buffer]) -> Result<Self, BackendError> {
        let bound: Option<Vec<&wgpu::Buffer>> = launch.buffers.iter().map(|i| buffers.get(*i)).collect();
        let bound =
            bound.ok_or_else(|| opened.failed(format!("`{}` names a buffer that does not exist", launch.entry)))?;
        Self::bind(opened, (launch.source, launch.entry, &launch.constants), &bound, &launch.arguments, launch.grid)
    }

    /// The launch that poisons a buffer.
    fn fill(opened: &Opened, described: &DeviceBuffer, buffer: &wgpu::Buffer) -> Result<Self, BackendError> {
        let poison = described.format.poison(4 / described.format.size().min(4));
        let word = poison.first_chunk::<4>().map_or(u32::MAX, |w| u32::from_le_bytes(*w));
        // NaN in double precision: its upper half, twice, is one as well.
        let word = if poison.len() == 8 { 0x7FF8_0000 } else { word };
        let words = u32::try_from(buffer.size() / 4).map_err(|_| opened.failed("an output of more than 16 GiB"))?;
        let groups = words.div_ceil(FILL_THREADS).clamp(1, FILL_GROUPS);
        Self::bind(opened, (FILL, "main", &[]), &[buffer], &[Argument::U32(words), Argument::U32(word)], [groups, 1, 1])
    }

    fn bind(
        opened: &Opened,
        (source, entry, constants): (&'static str, &'static str, &[(&'static str, u32)]),
        buffers: &[&wgpu::Buffer],
        arguments: &[Argument],
        grid: [u32; 3],
    ) -> Result<Self, BackendError> {
        let pipeline = opened.pipeline(source, entry, constants)?;
        let mut words = Vec::new();
        for argument in arguments {
            words.extend(match argument {
                Argument::U32(n) => n.to_le_bytes(),
                Argument::F32(x) => x.to_le_bytes(),
                Argument::TensorMap(_) => return Err(opened.failed(format!("`{entry}` asks for a tensor map"))),
            });
        }
        // A uniform block is a multiple of 16 bytes long.
        words.resize(words.len().next_multiple_of(16), 0);
        let uniform = if words.is_empty() {
            None
        } else {
            let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
            let uniform = opened.buffer("arguments", words.len() as u64, usage)?;
            opened.upload("arguments", &uniform, &words)?;
            Some(uniform)
        };
        let all = buffers.iter().copied().chain(&uniform);
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
            .zip(all)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bindings = opened.guarded(&format!("binding the buffers of `{entry}`"), || {
            let layout = pipeline.get_bind_group_layout(0);
            opened.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &entries,
            })
        })?;
        Ok(Self { pipeline, bindings, grid })
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], self.grid[2]);
    }
}
