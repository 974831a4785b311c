//! Bundles as one file, made by us and by people with other intentions.

use super::*;
use crate::evidence::archive::{read, write};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tar::{EntryType, Header};

/// A `.tar.zst` of one entry whose header `change` has touched.
fn one_entry(name: &str, bytes: &[u8], change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    change(&mut header);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, bytes).unwrap();
    compress_to_vec(tar.into_inner().unwrap().as_slice(), CompressionLevel::Fastest)
}

fn refused(archive: &[u8], words: &str) {
    let error = read(archive).unwrap_err();
    assert!(error.contains(words), "no `{words}` in: {error}");
}

#[test]
fn a_bundle_comes_back_and_has_one_form() {
    let whole = bundle(Some(&key(1)));
    let archive = write(&whole).unwrap();
    assert_eq!(read(archive.as_slice()).unwrap(), whole);
    assert_eq!(write(&whole).unwrap(), archive);
    let plain: usize = whole.files.values().map(Vec::len).sum();
    assert!(archive.len() * 2 < plain, "{} of {plain} bytes", archive.len());
}

#[test]
fn entries_that_are_no_plain_files_of_the_bundle_are_refused() {
    for name in ["../record.json", "/etc/passwd", "a/record.json", "..", ".hidden", "./../x", "a\\b"] {
        refused(&one_entry(name, b"x", |_| {}), "leads out of the bundle or into a folder");
    }
    for (kind, words) in [
        (EntryType::Symlink, "a symbolic link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a named pipe"),
        (EntryType::Directory, "a folder"),
        (EntryType::GNUSparse, "a sparse file"),
        (EntryType::GNULongName, "a long name"),
        (EntryType::XHeader, "an extended header"),
        (EntryType::new(b'Z'), "of an unknown kind"),
    ] {
        refused(&one_entry("record.json", b"", |h| h.set_entry_type(kind)), words);
    }
    let dotted = one_entry("./record.json", b"{}", |_| {});
    assert_eq!(read(dotted.as_slice()).unwrap().files["record.json"], b"{}");
}

#[test]
fn damaged_archives_are_refused_at_any_place() {
    let archive = write(&bundle(None)).unwrap();
    for length in (0..archive.len()).step_by(archive.len() / 60) {
        assert!(read(&archive[..length]).is_err(), "cut at {length}");
    }
    refused(&archive[..archive.len() / 2], "truncated");
    refused(b"", "no Zstandard file");
    refused(b"PK\x03\x04 a zip file", "no Zstandard file");
    refused(&[&archive[..], b"x"].concat(), "after the Zstandard frame");
    refused(&[&archive[..], &archive[..]].concat(), "after the Zstandard frame");
    let mut tar = vec![0; 1024];
    tar.extend_from_slice(b"hidden");
    refused(&compress_to_vec(tar.as_slice(), CompressionLevel::Fastest), "after the end of the tar");
    refused(&one_entry("record.json", b"{}", |h| h.set_size(100_000)), "in the middle of");
    refused(&one_entry("record.json", b"{}", |h| h.set_size(u64::MAX >> 8)), "at most");
}

#[test]
fn bits_flipped_in_an_archive_never_go_unseen() {
    let whole = bundle(None);
    let archive = write(&whole).unwrap();
    let (mut at, mut unseen) = (3, 0);
    while at < archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 1 << (at % 8);
        match read(changed.as_slice()) {
            Ok(bundle) if bundle == whole => unseen += 1,
            Ok(_) | Err(_) => {}
        }
        at += archive.len() / 400;
    }
    // What is left are bits that mean nothing, such as the size of the window.
    assert!(unseen <= 2, "{unseen} of 400 flips gave the same bundle");
}

#[test]
fn bombs_end_at_the_limits() {
    // 1.5 GiB of zeros as the samples, in blocks of run lengths: a few kilobytes.
    let size: u64 = 3 << 29;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let mut header = Header::new_gnu();
    header.set_size(500 << 20);
    header.set_path("samples.jsonl").unwrap();
    header.set_cksum();
    frame.extend_from_slice(&(512u32 << 3).to_le_bytes()[..3]);
    frame.extend_from_slice(header.as_bytes());
    for _ in 0..size >> 17 {
        frame.extend_from_slice(&((1u32 << 17) << 3 | 1 << 1).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame.extend_from_slice(&[1 | 1 << 1, 0, 0, 0]);
    assert!(frame.len() < 100_000);
    refused(&frame, "unpacks to more than 1073741824 bytes");
    let twice = {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_path("record.json").unwrap();
        header.set_size(1);
        header.set_cksum();
        tar.append(&header, &b"1"[..]).unwrap();
        tar.append(&header, &b"2"[..]).unwrap();
        compress_to_vec(tar.into_inner().unwrap().as_slice(), CompressionLevel::Fastest)
    };
    refused(&twice, "stands twice");
    let many = {
        let mut tar = tar::Builder::new(Vec::new());
        for index in 0..100 {
            let mut header = Header::new_ustar();
            header.set_path(format!("file-{index}")).unwrap();
            header.set_size(0);
            header.set_cksum();
            tar.append(&header, &b""[..]).unwrap();
        }
        compress_to_vec(tar.into_inner().unwrap().as_slice(), CompressionLevel::Fastest)
    };
    refused(&many, "more than 64 files");
    // One compressed block of 20 KiB: two literals, then 5,000 matches of 131,074 bytes each: 655 MB at once.
    let mut block = vec![2 << 3, b'a', b'b', 128 + (5_000 >> 8) as u8, (5_000 % 256) as u8, 0b0101_0100];
    block.extend_from_slice(&[0, 0, 52]);
    // A literals length of code 0, an offset of code 0 and a match length of code 52 with 16 bits of ones.
    block.extend_from_slice(&[0xff; 10_000]);
    block.push(1);
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    frame.extend_from_slice(&(u32::try_from(block.len()).unwrap() << 3 | 2 << 1 | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(&block);
    refused(&frame, "unpacks to more than 128 KiB");
    // A window of 2 TiB, as its header claims.
    refused(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x01, 0x00, 0x00], "a window of 2199023255552 bytes");
    refused(&[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0], "a window of 4294967296 bytes");
}
