//! Runs the command as if it had been started alone: its input and output untouched, its exit code
//! and signals passed on.
//!
//! Where this program is in the foreground of a terminal, the command stays in its process group,
//! so that Ctrl-C, Ctrl-Z and reading from the terminal work; the kernel then delivers Ctrl-C to
//! the command itself. Elsewhere the command gets a process group of its own, and signals sent to
//! this program go on to all of it.

#![expect(unsafe_code, reason = "signals and process groups have no safe interface in std")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};

/// What is passed on.
const SIGNALS: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Whom kill(2) is told: a process, or minus a process group; 0 while no command runs.
static TARGET: AtomicI32 = AtomicI32::new(0);
/// A signal that came and was not passed on yet.
static PENDING: AtomicI32 = AtomicI32::new(0);
/// The last signal that came.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

extern "C" fn pass_on(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    RECEIVED.store(signal, Ordering::SeqCst);
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    let shares_group = TARGET.load(Ordering::SeqCst) > 0;
    if !(from_terminal && shares_group) {
        PENDING.store(signal, Ordering::SeqCst);
        deliver();
    }
}

/// Passes the pending signal on, once, if there is somebody to tell.
fn deliver() {
    let target = TARGET.load(Ordering::SeqCst);
    if target == 0 {
        return;
    }
    let signal = PENDING.swap(0, Ordering::SeqCst);
    if signal != 0 {
        // SAFETY: kill and errno are async-signal-safe; the interrupted code must find its errno.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            libc::kill(target, signal);
            *errno = before;
        }
    }
}

/// The last signal this program was sent; `None` when there was none.
pub(super) fn received() -> Option<i32> {
    Some(RECEIVED.load(Ordering::SeqCst)).filter(|s| *s != 0)
}

/// From now on signals do not end this program but go on to the command. Those that were ignored
/// at the start (`nohup`) stay ignored.
pub(super) fn listen() -> io::Result<()> {
    for signal in SIGNALS {
        // SAFETY: both structures are valid, zeroed ones are valid values, and the handler only
        // does what is async-signal-safe.
        let status = unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut before);
            if before.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = pass_on as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Starts the command and waits for it; with nothing on its standard input where that is taken.
pub(super) fn run(command: &[String], stdin_taken: bool) -> io::Result<ExitStatus> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut process = Command::new(program);
    process.args(arguments);
    if stdin_taken {
        process.stdin(Stdio::null());
    }
    let shares_group = in_foreground();
    if !shares_group {
        process.process_group(0);
    }
    let mut child = process.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    TARGET.store(if shares_group { pid } else { -pid }, Ordering::SeqCst);
    deliver();
    let status = wait(&mut child, pid);
    TARGET.store(0, Ordering::SeqCst);
    status
}

/// Waits until the command has ended and only then reaps it: while it is a zombie its number
/// cannot be given to another process, so no signal goes astray.
fn wait(child: &mut Child, pid: i32) -> io::Result<ExitStatus> {
    loop {
        // SAFETY: a zeroed siginfo is valid, and the call fills it.
        let status = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid.unsigned_abs(), &raw mut info, libc::WEXITED | libc::WNOWAIT)
        };
        if status == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            break;
        }
    }
    TARGET.store(0, Ordering::SeqCst);
    child.wait()
}

/// Whether this program's group is the one that a terminal listens to.
fn in_foreground() -> bool {
    let Ok(terminal) = File::open("/dev/tty") else { return false };
    // SAFETY: the descriptor is open for the call; neither call has other preconditions.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) == libc::getpgrp() }
}

/// The exit code as a shell shows it: death by signal n is 128 + n.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(signal_code)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

/// What a shell shows for death by `signal`.
pub(super) const fn signal_code(signal: i32) -> i32 {
    128 + signal
}
