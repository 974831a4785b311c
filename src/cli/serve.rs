//! `wattproof serve`: a site in a browser, on this machine alone.

mod http;

use super::site::{find, make, output, warn};
use super::{Exit, Failure, print};
use crate::report::site::server_policy;
use http::Site;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  wattproof serve public                a site that `wattproof site` made
  wattproof serve reports --port 0      a site of these records, made now and kept nowhere; any free port

It listens on 127.0.0.1 and [::1] alone, answers GET and HEAD alone, and does not rebuild: records that come later need
another start. Ctrl-C ends it.";

/// Connections that are answered at once; more have to wait.
const MOST_CONNECTIONS: usize = 64;

/// How long nothing can happen before the listener looks again.
const PAUSE: Duration = Duration::from_millis(15);

/// Preview a site in a browser, on the loopback interface alone
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A site, or a folder of records to make one of
    folder: PathBuf,
    /// Port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let listeners = listen(args.port)?;
    // What is made for this preview goes away with it.
    let mut draft = None;
    let folder = if args.folder.join(output::MARKER).exists() {
        args.folder.clone()
    } else {
        find::find(&args.folder)?;
        let made = output::Draft::beside(&std::env::temp_dir().join("wattproof-serve"))?;
        let options = make::Options { title: "Results", keys: Vec::new() };
        warn(&make::make(&args.folder, made.path(), &options)?.left_out);
        output::seal(made.path())?;
        let path = made.path().to_owned();
        draft = Some(made);
        path
    };
    let files = output::files(&folder).map_err(|why| Failure::usage(format!("{}: {why}", folder.display())))?;
    let root = folder.canonicalize().map_err(|e| Failure::usage(format!("cannot read {}: {e}", folder.display())))?;
    let ports = listeners.iter().filter_map(|l| l.local_addr().ok()).map(|address| address.port()).collect();
    let site = Arc::new(Site { root, files, policy: server_policy(), ports });
    let stop = stopped()?;
    for listener in &listeners {
        let address = listener.local_addr().map_err(Failure::internal)?;
        print(&format!("http://{address}/"))?;
    }
    answer(&listeners, &site, stop);
    drop(draft);
    Ok(Exit::Ok)
}

/// The loopback addresses with this port; IPv6 where the machine has it.
fn listen(port: u16) -> Result<Vec<TcpListener>, Failure> {
    let open = |address: SocketAddr| {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(listener)
    };
    let first = open((Ipv4Addr::LOCALHOST, port).into()).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Failure::usage(format!(
            "port {port} is taken by another program; choose another --port, or 0 for any that is free"
        )),
        ErrorKind::PermissionDenied => {
            Failure::usage(format!("port {port} is not for this user; choose a --port from 1024 on"))
        }
        _ => Failure::usage(format!("cannot listen on 127.0.0.1:{port}: {error}")),
    })?;
    let port = first.local_addr().map_err(Failure::internal)?.port();
    Ok([Some(first), open((Ipv6Addr::LOCALHOST, port).into()).ok()].into_iter().flatten().collect())
}

/// The flag that Ctrl-C and SIGTERM set.
fn stopped() -> Result<&'static AtomicBool, Failure> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| STOP.store(true, Ordering::SeqCst))
        .map_err(|e| Failure::internal(format!("cannot listen for Ctrl-C: {e}")))?;
    Ok(&STOP)
}

/// Takes connections until the flag is set; each has a thread for the seconds it may take.
fn answer(listeners: &[TcpListener], site: &Arc<Site>, stop: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    while !stop.load(Ordering::SeqCst) {
        let mut idle = true;
        for listener in listeners {
            if open.load(Ordering::SeqCst) >= MOST_CONNECTIONS {
                break;
            }
            let Ok((stream, _)) = listener.accept() else { continue };
            idle = false;
            let (site, count) = (Arc::clone(site), Arc::clone(&open));
            open.fetch_add(1, Ordering::SeqCst);
            let started = std::thread::Builder::new().spawn(move || {
                let _open = Open(count);
                // A visitor who goes away is no failure of ours.
                let _ = http::serve(&stream, &site);
            });
            if started.is_err() {
                open.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if idle {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Counts a connection down, however its thread ends.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
