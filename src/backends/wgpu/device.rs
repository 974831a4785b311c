//! An open device: buffers, copies, waiting, and every way in which these fail.

#![expect(unsafe_code, reason = "cooperative matrices are an experimental feature, which has to be agreed to")]

use super::adapters::Adapter;
use crate::backends::{BackendError, DeviceId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wgpu::{BufferUsages, ErrorFilter, ExperimentalFeatures, Features, PollType};

/// How long a device may take for what was submitted together. Drivers of cards end what takes longer than some
/// seconds; a renderer on the processor has no such limit.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes copied at once between host and device: each copy takes that much memory on the side.
const PIECE: usize = 64 << 20;

/// What pipelines are found again by: source, entry and constants.
type PipelineKey = (&'static str, &'static str, Vec<(&'static str, u32)>);

/// An open device.
pub(super) struct Opened {
    pub(super) id: DeviceId,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pipelines: RefCell<HashMap<PipelineKey, Rc<wgpu::ComputePipeline>>>,
    trouble: Arc<Mutex<Trouble>>,
}

/// What a driver told outside of a call.
#[derive(Default)]
struct Trouble {
    lost: Option<String>,
    error: Option<String>,
}

impl Opened {
    /// Opens a device with all that its adapter can do.
    ///
    /// # Errors
    /// [`BackendError::Device`] with what the driver says.
    pub(super) fn open(adapter: &Adapter) -> Result<Self, BackendError> {
        let id = adapter.info.id.clone();
        let failed = |detail: String| BackendError::Device { device: id.clone(), detail };
        let ask = |required_features: Features| {
            // SAFETY: what is experimental is asked for by name, and only cooperative matrices are. Programs use them within
            // arrays of shared memory that are as long as they declare; what a driver makes of them is judged by its answers.
            let experimental_features = unsafe { ExperimentalFeatures::enabled() };
            pollster::block_on(adapter.adapter.request_device(&wgpu::DeviceDescriptor {
                label: None,
                required_features,
                required_limits: adapter.adapter.limits(),
                experimental_features,
                ..Default::default()
            }))
        };
        // A driver that fails with what is experimental may do without: the case then says why it took another program.
        let experimental = adapter.features & Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let asked = ask(adapter.features);
        let opened =
            if asked.is_err() && !experimental.is_empty() { ask(adapter.features - experimental) } else { asked };
        let (device, queue) = opened.map_err(|e| failed(format!("it cannot be opened: {e}")))?;
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let (lost, errors) = (Arc::clone(&trouble), Arc::clone(&trouble));
        device.set_device_lost_callback(move |reason, message| {
            // One that is dropped is reported lost as well, and nobody asks for it any more.
            let text = format!("the device was lost ({reason:?}): {}", one_line(&message));
            lost.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert(text);
        });
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let text = one_line(&error.to_string());
            errors.lock().unwrap_or_else(PoisonError::into_inner).error.get_or_insert(text);
        }));
        Ok(Self { id, device, queue, pipelines: RefCell::default(), trouble })
    }

    /// Why it was lost, if it was.
    pub(super) fn lost(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).lost.clone()
    }

    /// An error of this device.
    pub(super) fn failed(&self, detail: impl Into<String>) -> BackendError {
        BackendError::Device { device: self.id.clone(), detail: detail.into() }
    }

    /// Whatever a driver told since the last call.
    fn settle(&self) -> Result<(), BackendError> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lost) = &trouble.lost {
            return Err(self.failed(lost.clone()));
        }
        trouble.error.take().map_or(Ok(()), |error| Err(self.failed(error)))
    }

    /// Does `work`; its errors become the answer, with `what` in front.
    pub(super) fn guarded<T>(&self, what: &str, work: impl FnOnce() -> T) -> Result<T, BackendError> {
        let scopes = [ErrorFilter::Internal, ErrorFilter::OutOfMemory, ErrorFilter::Validation]
            .map(|filter| self.device.push_error_scope(filter));
        let done = work();
        // The innermost scope is the last one.
        let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop()));
        let first = errors.collect::<Vec<_>>().into_iter().next();
        self.settle()?;
        match first {
            None => Ok(done),
            Some(wgpu::Error::OutOfMemory { .. }) => {
                Err(self.failed(format!("its memory does not suffice for {what}: use a smaller shape or free memory")))
            }
            Some(error) => Err(self.failed(format!("{what}: {}", one_line(&error.to_string())))),
        }
    }

    /// A buffer of at least `bytes` bytes, a multiple of 4.
    ///
    /// # Errors
    /// [`BackendError::Device`] without memory for it.
    pub(super) fn buffer(&self, what: &str, bytes: u64, usage: BufferUsages) -> Result<wgpu::Buffer, BackendError> {
        let size = bytes.max(4).next_multiple_of(4);
        let most = self.device.limits().max_buffer_size;
        if size > most {
            return Err(self.failed(format!("a buffer for {what} of {size} bytes; it allows {most} at most")));
        }
        self.guarded(&format!("{what} ({size} bytes)"), || {
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        })
    }

    /// Copies `bytes` into a buffer and waits for it.
    ///
    /// # Errors
    /// [`BackendError::Device`].
    pub(super) fn upload(&self, what: &str, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<(), BackendError> {
        let mut offset = 0;
        for piece in bytes.chunks(PIECE) {
            let mut padded;
            let whole = if piece.len().is_multiple_of(4) {
                piece
            } else {
                padded = piece.to_vec();
                padded.resize(piece.len().next_multiple_of(4), 0);
                &padded
            };
            self.guarded(what, || {
                self.queue.write_buffer(buffer, offset, whole);
                self.queue.submit([]);
            })?;
            self.wait()?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Copies the first `bytes` bytes of a buffer back.
    ///
    /// # Errors
    /// [`BackendError::Device`].
    pub(super) fn download(&self, what: &str, buffer: &wgpu::Buffer, bytes: usize) -> Result<Vec<u8>, BackendError> {
        let mut all = Vec::with_capacity(bytes);
        let staging = self.buffer(what, PIECE.min(bytes) as u64, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        for start in (0..bytes).step_by(PIECE) {
            let wanted = PIECE.min(bytes - start);
            let whole = (wanted as u64).next_multiple_of(4);
            let mapped = Arc::new(Mutex::new(None));
            let told = Arc::clone(&mapped);
            self.guarded(what, || {
                let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                encoder.copy_buffer_to_buffer(buffer, start as u64, &staging, 0, whole);
                self.queue.submit([encoder.finish()]);
                staging.slice(..whole).map_async(wgpu::MapMode::Read, move |result| {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(result.is_ok());
                });
            })?;
            self.wait()?;
            if *mapped.lock().unwrap_or_else(PoisonError::into_inner) != Some(true) {
                return Err(self.failed(format!("{what} cannot be read back")));
            }
            let view = staging.slice(..whole).get_mapped_range();
            let view = view.map_err(|e| self.failed(format!("{what} cannot be read back: {e}")))?;
            all.extend_from_slice(&view[..wanted]);
            drop(view);
            staging.unmap();
        }
        Ok(all)
    }

    /// Waits until all that was submitted is done.
    ///
    /// # Errors
    /// [`BackendError::Device`] when the device was lost, told an error or does not answer.
    pub(super) fn wait(&self) -> Result<(), BackendError> {
        let waited = self.device.poll(PollType::Wait { submission_index: None, timeout: Some(PATIENCE) });
        self.settle()?;
        match waited {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => {
                Err(self.failed(format!("it did not answer for {} s", PATIENCE.as_secs())))
            }
            Err(error) => Err(self.failed(one_line(&error.to_string()))),
        }
    }

    /// The compiled program, from earlier or new.
    ///
    /// # Errors
    /// [`BackendError::Device`] with what the compiler says.
    pub(super) fn pipeline(
        &self,
        source: &'static str,
        entry: &'static str,
        constants: &[(&'static str, u32)],
    ) -> Result<Rc<wgpu::ComputePipeline>, BackendError> {
        let key = (source, entry, constants.to_vec());
        if let Some(pipeline) = self.pipelines.borrow().get(&key) {
            return Ok(Rc::clone(pipeline));
        }
        let pipeline = self.guarded(&format!("compiling `{entry}`"), || {
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
            let constants: Vec<(&str, f64)> = constants.iter().map(|(name, n)| (*name, f64::from(*n))).collect();
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some(entry),
                // Every program writes its shared memory before it reads it.
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        })?;
        let pipeline = Rc::new(pipeline);
        self.pipelines.borrow_mut().insert(key, Rc::clone(&pipeline));
        Ok(pipeline)
    }

    /// Gives the device up as a driver that restarts would, to see what becomes of its cases.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.device.destroy();
        // A destroyed device reports its loss at the next look.
        let _ = self.device.poll(PollType::Poll);
    }
}

/// A driver's message, bounded and on one line.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
