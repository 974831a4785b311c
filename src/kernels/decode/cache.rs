//! The cache of keys and values in its formats.

use crate::kernels::random::SplitMix64;
use crate::kernels::short::{Bf16, Short};
use crate::kernels::split::fill_repeating;
use crate::kernels::{Array, Buffer, KernelError, Team};

/// Sizes of a cache and of the queries that read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Heads of keys and values.
    pub(super) groups: usize,
    /// Query heads that read the same keys and values.
    pub(super) share: usize,
    /// Tokens.
    pub(super) len: usize,
    /// Elements of a key.
    pub(super) key: usize,
    /// Elements of a value.
    pub(super) value: usize,
}

impl Layout {
    /// Query heads.
    pub(super) const fn heads(self) -> usize {
        self.groups * self.share
    }
}

/// Keys and values, row by row, group by group.
pub(super) enum Store {
    /// Single precision.
    Float {
        /// `groups × len × key`.
        keys: Buffer<f32>,
        /// `groups × len × value`.
        values: Buffer<f32>,
    },
    /// Single precision; a value is the first elements of its key.
    Latent {
        /// `groups × len × key`.
        rows: Buffer<f32>,
    },
    /// As `Float`, in bfloat16.
    Short {
        /// `groups × len × key`.
        keys: Buffer<Bf16>,
        /// `groups × len × value`.
        values: Buffer<Bf16>,
    },
    /// As `Latent`, in bfloat16.
    ShortLatent {
        /// `groups × len × key`.
        rows: Buffer<Bf16>,
    },
    /// Signed bytes (in two's complement) times one scale for each key and each value.
    Int8 {
        /// `groups × len × key`.
        keys: Buffer<u8>,
        /// `groups × len × value`.
        values: Buffer<u8>,
        /// Scales of the keys, `groups × len`.
        key_scales: Buffer<f32>,
        /// Scales of the values, `groups × len`.
        value_scales: Buffer<f32>,
    },
}

/// A cache whose parts fit its layout.
pub(super) struct Cache {
    layout: Layout,
    store: Store,
}

/// Which of the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// [`Store::Float`].
    Float,
    /// [`Store::Latent`].
    Latent,
    /// [`Store::Short`].
    Short,
    /// [`Store::ShortLatent`].
    ShortLatent,
    /// [`Store::Int8`].
    Int8,
}

impl Format {
    /// Whether elements are numbers of bfloat16.
    pub(super) const fn is_short(self) -> bool {
        matches!(self, Self::Short | Self::ShortLatent)
    }

    /// Whether a value is the front of its key.
    pub(super) const fn is_latent(self) -> bool {
        matches!(self, Self::Latent | Self::ShortLatent)
    }
}

/// Random elements repeat after this many. It is a prime number, so no two of the first rows begin at the same place.
const BLOCK: usize = 65_521;
/// Bytes of a standard deviation: 127 are three of them.
const DEVIATION: f64 = 42.0;

impl Cache {
    /// Takes the parts of a cache.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when a part has another size than the layout says.
    pub(super) fn new(layout: Layout, store: Store) -> Result<Self, KernelError> {
        let Layout { groups, len, key, value, share } = layout;
        let rows = groups * len;
        let fits = match &store {
            Store::Float { keys, values } => keys.len() == rows * key && values.len() == rows * value,
            Store::Short { keys, values } => keys.len() == rows * key && values.len() == rows * value,
            Store::Latent { rows: latent } => latent.len() == rows * key && value <= key,
            Store::ShortLatent { rows: latent } => latent.len() == rows * key && value <= key,
            Store::Int8 { keys, values, key_scales, value_scales } => {
                let bytes = keys.len() == rows * key && values.len() == rows * value;
                bytes && key_scales.len() == rows && value_scales.len() == rows
            }
        };
        if !fits || rows == 0 || share == 0 || key == 0 || value == 0 {
            return Err(KernelError::Structure(format!("a cache of another size than {layout:?}")));
        }
        Ok(Self { layout, store })
    }

    /// Seeded standard normal keys and values; bytes are these, rounded, and never zero.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn random(layout: Layout, format: Format, seed: u64, team: &dyn Team) -> Result<Self, KernelError> {
        let Layout { groups, len, key, value, .. } = layout;
        let rows = groups * len;
        let normal = |stream: u64| {
            let mut block = vec![0.0_f32; BLOCK];
            SplitMix64::new(seed, stream).fill_normal(0, &mut block);
            block
        };
        let floats = |len: usize, stream: u64, what| {
            let mut buffer = Buffer::<f32>::zeroed(len, what)?;
            fill_repeating(&mut buffer, &normal(stream), team);
            Ok::<_, KernelError>(buffer)
        };
        let shorts = |len: usize, stream: u64, what| {
            let block: Vec<Bf16> = normal(stream).iter().map(|x| Bf16::from_normal(f64::from(*x))).collect();
            let mut buffer = Buffer::<Bf16>::zeroed(len, what)?;
            fill_repeating(&mut buffer, &block, team);
            Ok::<_, KernelError>(buffer)
        };
        let bytes = |len: usize, stream: u64, what| {
            #[expect(clippy::cast_possible_truncation, reason = "clamped to a signed byte")]
            let byte = |x: &f32| (f64::from(*x) * DEVIATION).round().clamp(-127.0, 127.0) as i8;
            let block: Vec<u8> =
                normal(stream).iter().map(byte).map(|b| if b == 0 { 1 } else { b }.cast_unsigned()).collect();
            let mut buffer = Buffer::<u8>::zeroed(len, what)?;
            fill_repeating(&mut buffer, &block, team);
            Ok::<_, KernelError>(buffer)
        };
        let scales = |stream: u64| {
            let generator = SplitMix64::new(seed, stream);
            #[expect(clippy::cast_possible_truncation, reason = "scales are single precision")]
            let scale = |i| ((0.5 + generator.below(i, 1024) as f64 / 1024.0) / DEVIATION) as f32;
            let block: Vec<f32> = (0..BLOCK as u64).map(scale).collect();
            let mut buffer = Buffer::<f32>::zeroed(rows, "scales")?;
            fill_repeating(&mut buffer, &block, team);
            Ok::<_, KernelError>(buffer)
        };
        let store = match format {
            Format::Float => {
                Store::Float { keys: floats(rows * key, 2, "keys")?, values: floats(rows * value, 3, "values")? }
            }
            Format::Latent => Store::Latent { rows: floats(rows * key, 2, "latent rows")? },
            Format::Short => {
                Store::Short { keys: shorts(rows * key, 2, "keys")?, values: shorts(rows * value, 3, "values")? }
            }
            Format::ShortLatent => Store::ShortLatent { rows: shorts(rows * key, 2, "latent rows")? },
            Format::Int8 => Store::Int8 {
                keys: bytes(rows * key, 2, "keys")?,
                values: bytes(rows * value, 3, "values")?,
                key_scales: scales(4)?,
                value_scales: scales(5)?,
            },
        };
        Self::new(layout, store)
    }

    /// The sizes.
    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    /// The parts.
    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    /// The parts as arrays, `groups × len × elements` (scales `groups × len`); a latent cache has no values of its own.
    pub(super) fn arrays(&self) -> Vec<Array> {
        let Layout { groups, len, key, value, .. } = self.layout;
        let of_bytes = |name, elements, bytes: &[u8]| {
            let numbers = bytes.iter().map(|byte| f64::from(byte.cast_signed()));
            Array::of_numbers(name, &[groups, len, elements], true, numbers)
        };
        let of_shorts = |name, elements, numbers: &[Bf16]| {
            Array::of_numbers(name, &[groups, len, elements], true, numbers.iter().map(|x| x.to_f64()))
        };
        match &self.store {
            Store::Float { keys, values } => {
                vec![Array::of("K", &[groups, len, key], keys), Array::of("V", &[groups, len, value], values)]
            }
            Store::Latent { rows } => vec![Array::of("K", &[groups, len, key], rows)],
            Store::Short { keys, values } => vec![of_shorts("K", key, keys), of_shorts("V", value, values)],
            Store::ShortLatent { rows } => vec![of_shorts("K", key, rows)],
            Store::Int8 { keys, values, key_scales, value_scales } => vec![
                of_bytes("K", key, keys),
                of_bytes("V", value, values),
                Array::of("key_scales", &[groups, len], key_scales),
                Array::of("value_scales", &[groups, len], value_scales),
            ],
        }
    }

    /// Whether huge pages were advised for the keys.
    pub(super) const fn pages(&self) -> &'static str {
        match &self.store {
            Store::Float { keys, .. } => keys.pages().name(),
            Store::Latent { rows } => rows.pages().name(),
            Store::Short { keys, .. } => keys.pages().name(),
            Store::ShortLatent { rows } => rows.pages().name(),
            Store::Int8 { keys, .. } => keys.pages().name(),
        }
    }

    /// Key and value of a token (counted through all groups), in double precision.
    pub(super) fn token(&self, row: usize, key: &mut Vec<f64>, value: &mut Vec<f64>) {
        let Layout { key: of_key, value: of_value, .. } = self.layout;
        let (keys, values) = (row * of_key..(row + 1) * of_key, row * of_value..(row + 1) * of_value);
        key.clear();
        value.clear();
        match &self.store {
            Store::Float { keys: k, values: v } => {
                key.extend(k[keys].iter().map(|x| f64::from(*x)));
                value.extend(v[values].iter().map(|x| f64::from(*x)));
            }
            Store::Latent { rows } => {
                key.extend(rows[keys].iter().map(|x| f64::from(*x)));
                value.extend_from_slice(&key[..of_value]);
            }
            Store::Short { keys: k, values: v } => {
                key.extend(k[keys].iter().map(|x| x.to_f64()));
                value.extend(v[values].iter().map(|x| x.to_f64()));
            }
            Store::ShortLatent { rows } => {
                key.extend(rows[keys].iter().map(|x| x.to_f64()));
                value.extend_from_slice(&key[..of_value]);
            }
            Store::Int8 { keys: k, values: v, key_scales, value_scales } => {
                let scaled = |byte: &u8, scale: f32| f64::from(byte.cast_signed()) * f64::from(scale);
                key.extend(k[keys].iter().map(|b| scaled(b, key_scales[row])));
                value.extend(v[values].iter().map(|b| scaled(b, value_scales[row])));
            }
        }
    }
}
