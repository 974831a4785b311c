//! Apache Parquet, so that DuckDB, pandas and Polars start at once.
//!
//! The smallest form that the format allows: one row group, one plain uncompressed data page (v1) a column, all
//! columns optional. Metadata is Thrift in its compact protocol. Source: apache/parquet-format, `parquet.thrift` and
//! Encodings.md; Thrift's compact protocol specification. A library would bring 23 packages for this one table.

use super::columns::{self, Column, Values};
use super::{Format, Outcome};

pub(super) const FORMAT: Format =
    Format { id: "parquet", file: "gate.parquet", summary: "Apache Parquet, the columns of csv", render };

const MAGIC: &[u8] = b"PAR1";
/// Types of the compact protocol.
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;
/// Encodings of Parquet.
const PLAIN: i64 = 0;
const RLE: i64 = 3;

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let columns = columns::of(outcome);
    let rows = outcome.comparisons.len();
    let mut file = MAGIC.to_vec();
    let mut chunks = Vec::new();
    for column in columns.iter().filter(|_| rows > 0) {
        let page = page(column);
        let length = i64::try_from(page.len()).map_err(|_| "a column is too large")?;
        i32::try_from(length).map_err(|_| format!("the column {} is larger than 2 GiB", column.name))?;
        let offset = file.len();
        let mut header = Thrift::default();
        header.integer(1, I32, 0);
        header.integer(2, I32, length);
        header.integer(3, I32, length);
        header.structure(5, |h| {
            h.integer(1, I32, rows as i64);
            h.integer(2, I32, PLAIN);
            h.integer(3, I32, RLE);
            h.integer(4, I32, RLE);
        });
        file.extend(header.end());
        file.extend(page);
        chunks.push((column, offset as i64, (file.len() - offset) as i64));
    }
    let footer = footer(&columns, &chunks, rows as i64);
    let length = u32::try_from(footer.len()).map_err(|_| "the footer is too large")?;
    file.extend(footer);
    file.extend(length.to_le_bytes());
    file.extend(MAGIC);
    Ok(file)
}

/// Physical type of a column.
fn physical(values: &Values) -> i64 {
    match values {
        Values::Flag(_) => 0,
        Values::Whole(_) => 2,
        Values::Real(_) => 5,
        Values::Text(_) => 6,
    }
}

/// `FileMetaData`.
fn footer(columns: &[Column], chunks: &[(&Column, i64, i64)], rows: i64) -> Vec<u8> {
    let mut meta = Thrift::default();
    meta.integer(1, I32, 1);
    meta.list(2, STRUCT, columns.len() + 1);
    let mut root = Thrift::default();
    root.text(4, "gate");
    root.integer(5, I32, columns.len() as i64);
    meta.bytes.extend(root.end());
    for column in columns {
        let mut element = Thrift::default();
        element.integer(1, I32, physical(&column.values));
        element.integer(3, I32, 1);
        element.text(4, column.name);
        if matches!(column.values, Values::Text(_)) {
            element.integer(6, I32, 0);
            // LogicalType::STRING, an empty structure in a union.
            element.structure(10, |union| union.structure(1, |_| ()));
        }
        meta.bytes.extend(element.end());
    }
    meta.integer(3, I64, rows);
    meta.list(4, STRUCT, usize::from(!chunks.is_empty()));
    if !chunks.is_empty() {
        let total: i64 = chunks.iter().map(|c| c.2).sum();
        let mut group = Thrift::default();
        group.list(1, STRUCT, chunks.len());
        for (column, offset, length) in chunks {
            let mut chunk = Thrift::default();
            chunk.integer(2, I64, *offset);
            chunk.structure(3, |m| {
                m.integer(1, I32, physical(&column.values));
                m.list(2, I32, 2);
                m.zigzag(PLAIN);
                m.zigzag(RLE);
                m.list(3, BINARY, 1);
                m.binary(column.name);
                m.integer(4, I32, 0);
                m.integer(5, I64, rows);
                m.integer(6, I64, *length);
                m.integer(7, I64, *length);
                m.integer(9, I64, *offset);
            });
            group.bytes.extend(chunk.end());
        }
        group.integer(2, I64, total);
        group.integer(3, I64, rows);
        meta.bytes.extend(group.end());
    }
    meta.text(6, concat!("wattproof version ", env!("CARGO_PKG_VERSION")));
    meta.end()
}

/// Definition levels (1 where there is a value), then the values there are.
fn page(column: &Column) -> Vec<u8> {
    let (present, values): (Vec<bool>, Vec<u8>) = match &column.values {
        Values::Text(all) => (presence(all), all.iter().flatten().flat_map(|t| sized(t.as_bytes())).collect()),
        Values::Real(all) => (presence(all), all.iter().flatten().flat_map(|v| v.to_le_bytes()).collect()),
        Values::Whole(all) => (presence(all), all.iter().flatten().flat_map(|v| v.to_le_bytes()).collect()),
        Values::Flag(all) => {
            let flags: Vec<bool> = all.iter().flatten().copied().collect();
            let byte = |eight: &[bool]| eight.iter().enumerate().fold(0u8, |b, (i, f)| b | (u8::from(*f) << i));
            (presence(all), flags.chunks(8).map(byte).collect())
        }
    };
    let mut levels = Vec::new();
    for run in present.chunk_by(|a, b| a == b) {
        varint(&mut levels, (run.len() as u64) << 1);
        levels.push(u8::from(run[0]));
    }
    let mut page = sized(&levels);
    page.extend(values);
    page
}

fn presence<T>(values: &[Option<T>]) -> Vec<bool> {
    values.iter().map(Option::is_some).collect()
}

/// Bytes behind their length in four bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], bytes].concat()
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// A structure in Thrift's compact protocol.
#[derive(Default)]
struct Thrift {
    bytes: Vec<u8>,
    last: u8,
}

impl Thrift {
    /// A field's header: ids rise by less than 16 everywhere here.
    fn field(&mut self, id: u8, kind: u8) {
        self.bytes.push(((id - self.last) << 4) | kind);
        self.last = id;
    }

    fn zigzag(&mut self, value: i64) {
        varint(&mut self.bytes, ((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn integer(&mut self, id: u8, kind: u8, value: i64) {
        self.field(id, kind);
        self.zigzag(value);
    }

    fn binary(&mut self, text: &str) {
        varint(&mut self.bytes, text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn text(&mut self, id: u8, text: &str) {
        self.field(id, BINARY);
        self.binary(text);
    }

    /// The header of a list; its elements follow.
    fn list(&mut self, id: u8, kind: u8, length: usize) {
        self.field(id, LIST);
        match u8::try_from(length) {
            Ok(short @ 0..15) => self.bytes.push((short << 4) | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, length as u64);
            }
        }
    }

    fn structure(&mut self, id: u8, fill: impl FnOnce(&mut Self)) {
        self.field(id, STRUCT);
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes.extend(inner.end());
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}
