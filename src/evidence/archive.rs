//! A bundle as one file: tar (POSIX ustar) compressed with Zstandard (RFC 8878).
//!
//! Writing is deterministic: entries in order of name, no times, no owners. Reading trusts nothing: only
//! plain files without folders, bounded in number and size whatever headers claim.

use super::bundle::{Bundle, MOST_BYTES, MOST_FILES, most_bytes};
use super::screen::Screen;
use super::statement::is_file_name;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::{self, Read};

/// How the name of an archive ends.
pub const EXTENSION: &str = ".tar.zst";

/// The bundle as `.tar.zst`.
///
/// # Errors
/// When a file has no name that an archive can hold.
pub fn write(bundle: &Bundle) -> Result<Vec<u8>, String> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in &bundle.files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let failed = |e: io::Error| format!("{name} does not fit into an archive: {e}");
        header.set_path(name).map_err(failed)?;
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).map_err(failed)?;
    }
    let tar = builder.into_inner().map_err(|e| e.to_string())?;
    Ok(compress_to_vec(tar.as_slice(), CompressionLevel::Fastest))
}

/// Reads a `.tar.zst`.
///
/// # Errors
/// What is wrong with it, with the entry's name or the place.
pub fn read(mut source: impl Read) -> Result<Bundle, String> {
    let mut head = Vec::new();
    source.by_ref().take(HEAD).read_to_end(&mut head).map_err(|e| place(&e))?;
    let header = FrameHeader::read(&head)?;
    let rest = head.split_off(header.length.min(head.len()));
    let source = Screen::new(head, io::Cursor::new(rest).chain(source), header.has_checksum);
    let decoder = StreamingDecoder::new(source).map_err(|e| format!("no Zstandard file: {e}"))?;
    let mut tar = tar::Archive::new(Counted { inner: decoder, read: 0 });
    let mut bundle = Bundle::default();
    // Raw: long names and other extensions of tar come as entries, and are refused like any of their kind.
    for entry in tar.entries().map_err(|e| place(&e))?.raw(true) {
        let mut entry = entry.map_err(|e| place(&e))?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() && matches!(path.as_str(), "." | "./") {
            continue;
        }
        let name = path.strip_prefix("./").unwrap_or(&path);
        if !kind.is_file() {
            return Err(format!("the entry {path:?} is {}; a bundle holds plain files only", describe(kind)));
        }
        if !is_file_name(name) {
            return Err(format!(
                "the entry {path:?} leads out of the bundle or into a folder; a bundle has no folders"
            ));
        }
        if bundle.files.contains_key(name) {
            return Err(format!("the entry {path:?} stands twice"));
        }
        if bundle.files.len() >= MOST_FILES {
            return Err(format!("more than {MOST_FILES} files"));
        }
        let size = entry.size();
        let most = most_bytes(name);
        if size > most {
            return Err(format!("the entry {path:?} has {size} bytes; at most {most} are read"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|e| place(&e))?;
        if bytes.len() as u64 != size {
            return Err(format!("the archive ends in the middle of {path:?}: {} of {size} bytes", bytes.len()));
        }
        bundle.files.insert(name.to_owned(), bytes);
    }
    let mut rest = tar.into_inner();
    let mut padding = [0; 4096];
    loop {
        match rest.read(&mut padding).map_err(|e| place(&e))? {
            0 => break,
            n if padding[..n].iter().any(|&b| b != 0) => {
                return Err("there is data after the end of the tar".to_owned());
            }
            _ => {}
        }
    }
    let (mut source, decoder) = rest.inner.into_parts();
    if let (Some(stated), Some(found)) = (decoder.get_checksum_from_data(), decoder.get_calculated_checksum())
        && stated != found
    {
        return Err(format!("the checksum of the Zstandard frame is {stated:08x}, its contents give {found:08x}"));
    }
    match source.read(&mut padding) {
        Ok(0) => Ok(bundle),
        Ok(_) => Err("there is data after the Zstandard frame".to_owned()),
        Err(error) => Err(place(&error)),
    }
}

/// Bytes of the longest frame header: magic number, descriptor, window, dictionary, content size (RFC 8878, §3.1.1.1).
const HEAD: u64 = 4 + 1 + 1 + 4 + 8;

/// Largest window that is taken: what RFC 8878, §3.1.1.1.2 asks every decoder to support. The decoder keeps a
/// window in memory whatever is read from it.
const LARGEST_WINDOW: u64 = 8 << 20;

/// What a frame header says of the frame.
struct FrameHeader {
    /// Its own length.
    length: usize,
    has_checksum: bool,
}

impl FrameHeader {
    /// Reads it, and refuses a window beyond the limit.
    fn read(head: &[u8]) -> Result<Self, String> {
        let cut = || "no Zstandard file: the frame header is cut off".to_owned();
        if !head.starts_with(&0xfd2f_b528_u32.to_le_bytes()) {
            return Err("no Zstandard file; give a folder or a .tar.zst that `wattproof certify` wrote".to_owned());
        }
        let descriptor = *head.get(4).ok_or_else(cut)?;
        let single = descriptor & 0x20 != 0;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size = [usize::from(single), 2, 4, 8][usize::from(descriptor >> 6)];
        let size_at = 5 + usize::from(!single) + dictionary;
        let window = if single {
            // A single segment: its window is its content.
            let field = head.get(size_at..size_at + size).ok_or_else(cut)?;
            let content = field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            if size == 2 { content + 256 } else { content }
        } else {
            let byte = *head.get(5).ok_or_else(cut)?;
            let base = 1u64 << (10 + (byte >> 3));
            base + base / 8 * u64::from(byte & 7)
        };
        if window > LARGEST_WINDOW {
            return Err(format!(
                "the Zstandard frame wants a window of {window} bytes; at most {LARGEST_WINDOW} are given"
            ));
        }
        Ok(Self { length: size_at + size, has_checksum: descriptor & 4 != 0 })
    }
}

/// What an entry is that is no plain file.
fn describe(kind: tar::EntryType) -> &'static str {
    match kind {
        tar::EntryType::Directory => "a folder",
        tar::EntryType::Symlink => "a symbolic link",
        tar::EntryType::Link => "a hard link",
        tar::EntryType::Char | tar::EntryType::Block => "a device",
        tar::EntryType::Fifo => "a named pipe",
        tar::EntryType::GNUSparse => "a sparse file",
        tar::EntryType::GNULongName | tar::EntryType::GNULongLink => "a long name",
        tar::EntryType::XHeader | tar::EntryType::XGlobalHeader => "an extended header",
        _ => "of an unknown kind",
    }
}

/// An error of the stream in words, with its cause.
fn place(error: &io::Error) -> String {
    let mut text = format!("the archive is damaged or truncated: {error}");
    let mut cause = error.get_ref().and_then(|e| e.source());
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

/// A reader that refuses to give more than [`MOST_BYTES`] (and some for tar's own blocks).
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read = self.read.saturating_add(n as u64);
        if self.read > MOST_BYTES + (1 << 20) {
            return Err(io::Error::other(format!("it unpacks to more than {MOST_BYTES} bytes")));
        }
        Ok(n)
    }
}
