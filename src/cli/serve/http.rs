//! As much of HTTP/1.1 (RFC 9112) as a preview needs: one request a connection, files of a list and nothing else.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// Longest request line and header fields together.
const MOST_HEADER: usize = 8 * 1024;

/// Reads of a request that are waited for, each [`PATIENCE`] at most: a slow visitor holds a thread for a minute.
const MOST_READS: usize = 16;

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is served.
#[derive(Debug)]
pub(super) struct Site {
    /// Its folder, without links in it.
    pub(super) root: PathBuf,
    /// Its files; nothing else is served, whatever lies in the folder.
    pub(super) files: BTreeSet<String>,
    /// Content security policy.
    pub(super) policy: String,
    /// Ports that it is reached at.
    pub(super) ports: Vec<u16>,
}

/// An answer before its body.
struct Answer {
    status: &'static str,
    mime: &'static str,
    body: Body,
}

enum Body {
    Text(&'static str),
    File(File, u64),
    /// Where the visitor should look instead.
    Moved(String),
}

/// Reads one request and answers it.
///
/// # Errors
/// When the visitor goes away or is too slow.
pub(super) fn serve(mut stream: &TcpStream, site: &Site) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::with_capacity(1024);
    let mut piece = [0u8; 1024];
    let mut reads = 0;
    let header = loop {
        if let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") {
            break Some(&request[..end]);
        }
        if request.len() >= MOST_HEADER || reads == MOST_READS {
            break None;
        }
        reads += 1;
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..n]);
    };
    let Some(header) = header else {
        let answer = refuse("431 Request Header Fields Too Large", "The request is too long.\n");
        return send(stream, site, answer, true);
    };
    let (answer, with_body) = respond(header, site);
    send(stream, site, answer, with_body)
}

const fn refuse(status: &'static str, text: &'static str) -> Answer {
    Answer { status, mime: "text/plain; charset=utf-8", body: Body::Text(text) }
}

/// The answer to a request, and whether its body is wanted.
fn respond(header: &[u8], site: &Site) -> (Answer, bool) {
    let bad = || (refuse("400 Bad Request", "This is no request.\n"), true);
    let Ok(header) = std::str::from_utf8(header) else { return bad() };
    let mut lines = header.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return bad();
    };
    if !version.starts_with("HTTP/1.") {
        return bad();
    }
    let with_body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return (refuse("405 Method Not Allowed", "Only GET and HEAD are answered.\n"), true),
    };
    // A page from elsewhere whose name was made to point here must not read the site.
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    if hosts.len() != 1 || !is_loopback(hosts[0], &site.ports) {
        return (refuse("421 Misdirected Request", "This site is for the loopback interface alone.\n"), true);
    }
    (file(target, site), with_body)
}

fn is_loopback(host: &str, ports: &[u16]) -> bool {
    let name = |host: &str| matches!(host.to_ascii_lowercase().as_str(), "127.0.0.1" | "[::1]" | "localhost");
    match host.rsplit_once(':') {
        Some((before, port)) if !port.ends_with(']') => {
            name(before) && port.parse::<u16>().is_ok_and(|port| ports.contains(&port))
        }
        _ => name(host) && ports.contains(&80),
    }
}

fn file(target: &str, site: &Site) -> Answer {
    let missing = || refuse("404 Not Found", "There is no such file in this site.\n");
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let Some(name) = path.strip_prefix('/').and_then(decoded) else {
        return refuse("400 Bad Request", "This is no path.\n");
    };
    // Only names of the list are looked up on the disk, so no path leads out of it.
    let index = |name: &str| format!("{name}index.html");
    let name = if name.is_empty() || name.ends_with('/') { index(&name) } else { name };
    if !site.files.contains(&name) {
        let folder = format!("{name}/");
        if site.files.contains(&index(&folder)) {
            let last = name.rsplit('/').next().unwrap_or_default();
            return Answer {
                status: "308 Permanent Redirect",
                mime: "text/plain; charset=utf-8",
                body: Body::Moved(format!("{last}/")),
            };
        }
        return missing();
    }
    // A file of the list may have become a link since, or a folder on its way.
    let whole = site.root.join(&name);
    if whole.canonicalize().ok().as_ref() != Some(&whole) {
        return missing();
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let open = OpenOptions::new().read(true).custom_flags(flags).open(&whole);
    match open.and_then(|file| file.metadata().map(|m| (file, m))) {
        Ok((file, meta)) if meta.is_file() => {
            Answer { status: "200 OK", mime: mime(&name), body: Body::File(file, meta.len()) }
        }
        _ => missing(),
    }
}

/// A path with its percent signs resolved, once; `None` where it is no text.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn mime(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "zst" => "application/zstd",
        _ => "application/octet-stream",
    }
}

fn send(mut stream: &TcpStream, site: &Site, answer: Answer, with_body: bool) -> io::Result<()> {
    let (length, more) = match &answer.body {
        Body::Text(text) => (text.len() as u64, String::new()),
        Body::File(_, length) => (*length, String::new()),
        Body::Moved(place) => (0, format!("Location: {place}\r\n")),
    };
    let allow = if answer.status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    write!(
        stream,
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {length}\r\nContent-Security-Policy: {}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n{allow}{more}\r\n",
        answer.status, answer.mime, site.policy
    )?;
    if with_body {
        match answer.body {
            Body::Text(text) => stream.write_all(text.as_bytes())?,
            Body::File(file, length) => {
                io::copy(&mut file.take(length), &mut stream)?;
            }
            Body::Moved(_) => {}
        }
    }
    stream.flush()?;
    // What a refused visitor still sends would reset the connection before the answer is read.
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut rest = [0u8; 1024];
    for _ in 0..MOST_READS {
        if matches!(stream.read(&mut rest), Ok(0) | Err(_)) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_resolved_once() {
        assert_eq!(decoded("a%20b%2e%2E").as_deref(), Some("a b.."));
        assert_eq!(decoded("%252e").as_deref(), Some("%2e"));
        for bad in ["%", "%2", "%zz", "%ff", "%c0%ae"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000", "[::1]:8000"] {
            assert!(is_loopback(host, &[8000]), "{host}");
        }
        for host in ["example.org:8000", "127.0.0.1:8001", "127.0.0.1", "[::1]", "", ":8000", "127.0.0.1.nip.io:8000"] {
            assert!(!is_loopback(host, &[8000]), "{host}");
        }
        assert!(is_loopback("[::1]", &[80]) && is_loopback("localhost", &[80]));
    }
}
