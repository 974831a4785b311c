//! What a double's script says.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A device.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) pci: String,
    /// 32 hexadecimal digits; none where the driver tells none.
    pub(crate) uuid: Option<String>,
    /// Bytes.
    pub(crate) memory: usize,
    /// Bytes.
    pub(crate) free: usize,
    pub(crate) capability: (i32, i32),
    pub(crate) l2_bytes: i32,
}

/// A function that fails: its code, and the calls before that.
#[derive(Debug, Clone)]
struct Failure {
    function: String,
    code: u32,
    after: u32,
}

/// A script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) driver: i32,
    pub(crate) devices: Vec<Device>,
    /// Folder for libraries, the emulator's header, and its library.
    pub(crate) emulate: Option<[PathBuf; 3]>,
    /// Whether products in binary32 are computed in TF32.
    pub(crate) silent_tf32: bool,
    /// From so many rows or columns of an answer on, operands of products in binary32 and TF32 are rounded to bfloat16.
    pub(crate) narrow_from: Option<u32>,
    /// Where launches are written down.
    pub(crate) log: Option<PathBuf>,
    failures: Vec<Failure>,
}

/// The script of this process; `None` when it is missing or wrong.
pub(crate) fn script() -> Option<&'static Script> {
    static SCRIPT: OnceLock<Option<Script>> = OnceLock::new();
    let load = || {
        let text = std::fs::read_to_string(std::env::var_os("WATTPROOF_CUDA_DOUBLE")?).ok()?;
        let mut script = Script::parse(&text)?;
        if let Some(visible) = std::env::var("CUDA_VISIBLE_DEVICES").ok().filter(|v| !v.is_empty()) {
            script.devices = visible_of(&script.devices, &visible);
        }
        Some(script)
    };
    SCRIPT.get_or_init(load).as_ref()
}

/// The code with which this call of a function has to fail.
pub(crate) fn failing(function: &str) -> Option<u32> {
    static CALLS: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);
    let failure = script()?.failures.iter().find(|f| f.function == function)?;
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = calls.get_or_insert_default().entry(function.to_owned()).or_default();
    *count += 1;
    (*count > failure.after).then_some(failure.code)
}

impl Device {
    /// As CUDA_VISIBLE_DEVICES and `nvidia-smi -L` name it.
    fn public_name(&self) -> Option<String> {
        let digits = self.uuid.as_deref()?;
        let family = if self.name.contains(" MIG ") { "MIG" } else { "GPU" };
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        Some(format!("{family}-{}", parts.join("-")))
    }
}

/// What CUDA_VISIBLE_DEVICES leaves, in its order: numbers, or beginnings of UUIDs; nothing behind the first that names no
/// device (CUDA C++ Programming Guide, "CUDA Environment Variables").
fn visible_of(all: &[Device], visible: &str) -> Vec<Device> {
    let find = |word: &str| match word.parse::<usize>() {
        Ok(number) => all.get(number),
        Err(_) => all.iter().find(|d| !word.is_empty() && d.public_name().is_some_and(|name| name.starts_with(word))),
    };
    visible.split(',').map_while(|word| find(word.trim())).cloned().collect()
}

impl Script {
    fn parse(text: &str) -> Option<Self> {
        let mut script = Self { driver: 13_000, ..Self::default() };
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            let (word, rest) = line.trim().split_once(' ')?;
            let words: Vec<&str> = rest.split_whitespace().collect();
            let number = |index: usize| words.get(index)?.parse::<u32>().ok();
            let mib = |index: usize| Some(number(index)? as usize * (1 << 20));
            match word {
                "driver" => script.driver = i32::try_from(number(0)?).ok()?,
                "narrow-from" => script.narrow_from = Some(number(0)?),
                "silent-tf32" => script.silent_tf32 = true,
                "log" => script.log = Some(rest.into()),
                "emulate" => script.emulate = Some([words.first()?.into(), words.get(1)?.into(), words.get(2)?.into()]),
                "fail" => {
                    let function = (*words.first()?).to_owned();
                    script.failures.push(Failure { function, code: number(1)?, after: number(2).unwrap_or(0) });
                }
                "device" => script.devices.push(Device {
                    name: rest.to_owned(),
                    pci: format!("0000:{:02x}:00.0", 0x3b + script.devices.len()),
                    uuid: None,
                    memory: 1 << 30,
                    free: 1 << 30,
                    capability: (9, 0),
                    l2_bytes: 50 << 20,
                }),
                "pci" => script.devices.last_mut()?.pci = rest.to_owned(),
                "uuid" => {
                    let digits: String = rest.chars().filter(char::is_ascii_hexdigit).collect();
                    script.devices.last_mut()?.uuid = (digits.len() == 32).then_some(digits);
                }
                "memory-mib" => {
                    let device = script.devices.last_mut()?;
                    (device.memory, device.free) = (mib(0)?, mib(1).or_else(|| mib(0))?);
                }
                "l2-kib" => script.devices.last_mut()?.l2_bytes = i32::try_from(number(0)? << 10).ok()?,
                "capability" => {
                    let part = |index| i32::try_from(number(index)?).ok();
                    script.devices.last_mut()?.capability = (part(0)?, part(1)?);
                }
                _ => return None,
            }
        }
        Some(script)
    }
}
