//! `wattproof keygen`: a key to sign certificates with.

use super::{Exit, Failure, print};
use crate::evidence::{dsse, keys};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  wattproof keygen lab.key                           write lab.key (private) and lab.key.pub (public)
  wattproof certify reports/<id> --sign lab.key      sign with it
  wattproof verify bundle --key lab.key.pub          check the signature";

/// Make an Ed25519 key pair to sign certificates with
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// File for the private key (PKCS#8 PEM, mode 0600); the public key is written to OUT.pub
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut public = args.out.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    for path in [&args.out, &public] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
    }
    let key = keys::generate().map_err(Failure::internal)?;
    let private_pem = keys::private_pem(&key).map_err(Failure::internal)?;
    let public_pem = keys::public_pem(&key.verifying_key()).map_err(Failure::internal)?;
    create(&args.out, private_pem.as_ref(), 0o600)?;
    if let Err(failure) = create(&public, &public_pem, 0o644) {
        // It was made by this very call, so nobody has used it yet.
        let _ = fs::remove_file(&args.out);
        return Err(failure);
    }
    print(&format!("key {}", dsse::key_id(&key.verifying_key())))?;
    print(&format!("private: {} (keep it secret), public: {}", args.out.display(), public.display()))?;
    Ok(Exit::Ok)
}

fn exists(path: &Path) -> Failure {
    Failure::usage(format!("{} exists already and is not overwritten; choose another name", path.display()))
}

/// Creates a file that was not there, with `mode` from its first moment.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::usage(format!("cannot write {}: {e}", path.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Largest key file that is read.
const MOST_BYTES: u64 = 64 << 10;

/// The text of a key file, bounded.
///
/// # Errors
/// Exit code 2, naming the file.
pub(super) fn read_text(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let failed = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The private key in a file that nobody else can read.
///
/// # Errors
/// Exit code 2, naming the file and what it holds instead.
pub(super) fn read_private(path: &Path) -> Result<ed25519_dalek::SigningKey, Failure> {
    let text = read_text(path)?;
    let key = keys::private_from_pem(&text).map_err(|e| Failure::usage(format!("{} {e}", path.display())))?;
    let mode = fs::metadata(path).map_or(0, |m| m.mode());
    if mode & 0o077 != 0 {
        return Err(Failure::usage(format!(
            "{} can be read by others (mode {:04o}), so anyone here could sign with it; run: chmod 600 {}",
            path.display(),
            mode & 0o7777,
            path.display()
        )));
    }
    Ok(key)
}
