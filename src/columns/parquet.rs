//! Apache Parquet, so that DuckDB, pandas and Polars start at once.
//!
//! The smallest form that the format allows: one plain uncompressed data page (v1) a column and row group, all
//! columns optional. Metadata is Thrift in its compact protocol. Source: apache/parquet-format, `parquet.thrift` and
//! Encodings.md; Thrift's compact protocol specification. A library would bring 23 packages for two small tables.

use super::{Column, Values};
use std::io::Write;

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
/// Physical type of text.
const BYTE_ARRAY: i64 = 6;

/// The table as a file; `name` is that of its root. Every column has `rows` values.
///
/// # Errors
/// A column or a footer that the format cannot hold, in words.
pub(crate) fn parquet(name: &str, columns: &[Column], rows: usize) -> Result<Vec<u8>, String> {
    let mut file = Writer::new(Vec::new(), name)?;
    file.group(columns, rows)?;
    file.finish()
}

/// Writes a file row group by row group, so that memory holds one of them at a time.
pub(crate) struct Writer<W: Write> {
    out: W,
    name: String,
    /// Bytes written so far.
    length: usize,
    /// Name and physical type of every column; empty before the first group.
    schema: Vec<(&'static str, i64)>,
    groups: Vec<Group>,
}

/// A row group that was written: offset and length of each column's chunk.
struct Group {
    chunks: Vec<(i64, i64)>,
    rows: i64,
}

impl<W: Write> Writer<W> {
    /// Begins a file; `name` is that of its root.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn new(mut out: W, name: &str) -> Result<Self, String> {
        out.write_all(MAGIC).map_err(|e| e.to_string())?;
        Ok(Self { out, name: name.to_owned(), length: MAGIC.len(), schema: Vec::new(), groups: Vec::new() })
    }

    /// Writes `rows` rows. All groups have the same columns; one without rows only says which.
    ///
    /// # Errors
    /// A column that the format cannot hold, or what the disk says.
    pub(crate) fn group(&mut self, columns: &[Column], rows: usize) -> Result<(), String> {
        self.schema = columns.iter().map(|c| (c.name, physical(&c.values))).collect();
        if rows == 0 {
            return Ok(());
        }
        let mut chunks = Vec::new();
        for column in columns {
            let page = page(column);
            let length = i64::try_from(page.len()).map_err(|_| "a column is too large")?;
            i32::try_from(length).map_err(|_| format!("the column {} is larger than 2 GiB", column.name))?;
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
            let begin = self.length;
            self.write(&header.end())?;
            self.write(&page)?;
            chunks.push((begin as i64, (self.length - begin) as i64));
        }
        self.groups.push(Group { chunks, rows: rows as i64 });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.length += bytes.len();
        self.out.write_all(bytes).map_err(|e| e.to_string())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// A footer that the format cannot hold, or what the disk says.
    pub(crate) fn finish(mut self) -> Result<W, String> {
        let footer = self.footer();
        let length = u32::try_from(footer.len()).map_err(|_| "the footer is too large")?;
        self.write(&footer)?;
        self.write(&length.to_le_bytes())?;
        self.write(MAGIC)?;
        self.out.flush().map_err(|e| e.to_string())?;
        Ok(self.out)
    }

    /// `FileMetaData`.
    fn footer(&self) -> Vec<u8> {
        let mut meta = Thrift::default();
        meta.integer(1, I32, 1);
        meta.list(2, STRUCT, self.schema.len() + 1);
        let mut root = Thrift::default();
        root.text(4, &self.name);
        root.integer(5, I32, self.schema.len() as i64);
        meta.bytes.extend(root.end());
        for (name, kind) in &self.schema {
            let mut element = Thrift::default();
            element.integer(1, I32, *kind);
            element.integer(3, I32, 1);
            element.text(4, name);
            if *kind == BYTE_ARRAY {
                element.integer(6, I32, 0);
                // LogicalType::STRING, an empty structure in a union.
                element.structure(10, |union| union.structure(1, |_| ()));
            }
            meta.bytes.extend(element.end());
        }
        meta.integer(3, I64, self.groups.iter().map(|g| g.rows).sum());
        meta.list(4, STRUCT, self.groups.len());
        for group in &self.groups {
            meta.bytes.extend(self.row_group(group));
        }
        meta.text(6, concat!("wattproof version ", env!("CARGO_PKG_VERSION")));
        meta.end()
    }

    /// `RowGroup`.
    fn row_group(&self, group: &Group) -> Vec<u8> {
        let mut thrift = Thrift::default();
        thrift.list(1, STRUCT, group.chunks.len());
        for ((offset, length), (name, kind)) in group.chunks.iter().zip(&self.schema) {
            let mut chunk = Thrift::default();
            chunk.integer(2, I64, *offset);
            chunk.structure(3, |m| {
                m.integer(1, I32, *kind);
                m.list(2, I32, 2);
                m.zigzag(PLAIN);
                m.zigzag(RLE);
                m.list(3, BINARY, 1);
                m.binary(name);
                m.integer(4, I32, 0);
                m.integer(5, I64, group.rows);
                m.integer(6, I64, *length);
                m.integer(7, I64, *length);
                m.integer(9, I64, *offset);
            });
            thrift.bytes.extend(chunk.end());
        }
        thrift.integer(2, I64, group.chunks.iter().map(|c| c.1).sum());
        thrift.integer(3, I64, group.rows);
        thrift.end()
    }
}

/// Physical type of a column.
fn physical(values: &Values) -> i64 {
    match values {
        Values::Flag(_) => 0,
        Values::Whole(_) => 2,
        Values::Real(_) => 5,
        Values::Text(_) => BYTE_ARRAY,
    }
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
