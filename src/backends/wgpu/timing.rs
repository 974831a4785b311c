//! Time by the device's own clock: a stamp at both ends of every pass.

use super::device::Opened;
use crate::backends::BackendError;
use crate::units::Seconds;
use wgpu::{BufferUsages, Features};

/// Passes of one run that are stamped: their stamps fill one slot of the buffer.
pub(super) const PASSES: u32 = 16;
/// Bytes of a slot; stamps are resolved at multiples of this.
const SLOT: u64 = wgpu::QUERY_RESOLVE_BUFFER_ALIGNMENT;
/// Runs of a window whose stamps are kept. A window that has more has no device time.
const SLOTS: u64 = 4096;

/// The stamps of the runs since the last reset.
pub(super) struct Timing {
    set: wgpu::QuerySet,
    buffer: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
    /// Passes of each run.
    runs: Vec<u32>,
}

impl Timing {
    /// Room for stamps; `None` where the device has no clock for programs.
    ///
    /// # Errors
    /// [`BackendError::Device`] without memory.
    pub(super) fn new(opened: &Opened) -> Result<Option<Self>, BackendError> {
        if !opened.device.features().contains(Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let period = f64::from(opened.queue.get_timestamp_period());
        let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
        let buffer = opened.buffer("time stamps", SLOT * SLOTS, usage)?;
        let set = opened.guarded("time stamps", || {
            let ty = wgpu::QueryType::Timestamp;
            opened.device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty, count: 2 * PASSES })
        })?;
        Ok((period > 0.0).then_some(Self { set, buffer, period, runs: Vec::new() }))
    }

    /// Forgets all stamps.
    pub(super) fn reset(&mut self) {
        self.runs.clear();
    }

    /// Where the pass of this number writes its stamps.
    pub(super) fn writes(&self, pass: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        }
    }

    /// Keeps the stamps of a run of `passes` passes, after its last one.
    pub(super) fn keep(&mut self, encoder: &mut wgpu::CommandEncoder, passes: u32) {
        let slot = self.runs.len() as u64;
        if slot < SLOTS {
            encoder.resolve_query_set(&self.set, 0..2 * passes, &self.buffer, slot * SLOT);
        }
        self.runs.push(passes);
    }

    /// Time of all passes since the reset; `None` when there was none, when there were too many, or where the clock
    /// went backwards.
    pub(super) fn total(&self, opened: &Opened) -> Option<Seconds> {
        let runs = self.runs.len();
        if runs == 0 || runs as u64 > SLOTS {
            return None;
        }
        let slot = usize::try_from(SLOT).ok()?;
        let bytes = opened.download("time stamps", &self.buffer, runs * slot).ok()?;
        let mut ticks = 0_u64;
        for (slot, passes) in bytes.chunks_exact(slot).zip(&self.runs) {
            let stamps = slot.as_chunks::<8>().0;
            for pair in stamps[..2 * *passes as usize].as_chunks::<2>().0 {
                let [begin, end] = pair.map(u64::from_le_bytes);
                ticks = ticks.checked_add(end.checked_sub(begin)?)?;
            }
        }
        Seconds::new(ticks as f64 * self.period * 1e-9).ok().filter(|s| s.get() > 0.0)
    }
}
