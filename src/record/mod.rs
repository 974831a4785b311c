//! The run record: the waist of the product.
//!
//! On disk a record is a folder: `record.json` (the [`Header`]: who, what, where, with what) and
//! `samples.jsonl` (one [`Event`] a line, appended when it happens and never rewritten). In memory
//! it is a [`RunRecord`]: the header with the events folded into measurements. Everything right of
//! this module is a pure function of it.

mod card;
mod device;
mod environment;
mod event;
#[doc(hidden)]
pub mod fixture;
mod fold;
mod header;
mod phases;
pub mod store;
mod wall;

// The words a record is written in. Analysis and reports take them from here, so that they need no
// room left of the record.
pub use crate::backends::DeviceId;
pub use crate::kernels::{Canary, Correctness, Coverage, Dtype, Params, Role, Work};
pub use crate::sensors::wall::{Accuracy, Pulse, Row as MeterRow};
pub use crate::sensors::{Channel, Domain, Quantity, ReaderRole, SensorInfo};
pub use crate::suite::{CacheState, Case, Profile, Threads};
pub use card::{CardState, Clocks, CoolDown, Others};
pub use device::Device;
pub use environment::{Cache, Compiler, Cpu, Environment, Gpu, HostIdentity, MachineState};
pub use event::{
    Activity, EnergyMethod, EnergySpan, Event, Flag, IdlePhase, IdleWindow, Prepared, Sample, SamplerSummary, State,
    TracePoint, WarmUp,
};
pub use fold::{Measurement, Outcome, RunRecord};
pub use header::{Header, PolicyDigest, RunState, SCHEMA, SamplesDigest, SensorStatus, SuiteSource, TdpModel, Tool};
pub use phases::{phase_weights, phases};
pub use wall::{WallMeter, span as wall_span};
