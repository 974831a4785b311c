//! `serve`: real requests over the loopback interface, hostile ones too.

use crate::support::Sandbox;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wattproof::clock::Clock;
use wattproof::record::fixture;

/// A running preview; it ends with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(sandbox: &Sandbox, folder: &str) -> Self {
        let mut command = sandbox.command(&["serve", folder, "--port", "0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
        Self { child, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Sends bytes, returns all that comes back.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, target: &str) -> String {
        self.raw(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port).as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn site() -> Sandbox {
    let sandbox = Sandbox::new();
    let (header, samples) = fixture::on_disk(&fixture::with_rapl());
    sandbox.write("records/a/record.json", header);
    sandbox.write("records/a/samples.jsonl", samples);
    sandbox.run(&["site", "records", "-o", "out"]).expect(0);
    sandbox.write("secret.txt", "secret");
    sandbox
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").unwrap_or(answer).get(..3).unwrap_or(answer)
}

#[test]
fn files_come_with_their_types_and_a_policy() {
    let sandbox = site();
    let server = Server::start(&sandbox, "out");
    let slug = std::fs::read_dir(sandbox.path("out/r")).unwrap().next().unwrap().unwrap().file_name();
    let slug = slug.to_str().unwrap();
    for (target, mime) in [
        ("/", "text/html"),
        ("/index.html?x=1", "text/html"),
        ("/site.css", "text/css"),
        ("/site.js", "text/javascript"),
        (&format!("/r/{slug}/"), "text/html"),
        (&format!("/r/{slug}/figures.js"), "text/javascript"),
    ] {
        let answer = server.get(target);
        assert_eq!(status(&answer), "200", "{target}: {answer}");
        assert!(answer.contains(&format!("Content-Type: {mime}; charset=utf-8\r\n")), "{target}: {answer}");
        for header in ["Content-Security-Policy: default-src 'none'", "X-Content-Type-Options: nosniff"] {
            assert!(answer.contains(header), "{target}: {answer}");
        }
    }
    let body = server.get("/site.js").split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body, std::fs::read_to_string(sandbox.path("out/site.js")).unwrap());
    let folder = server.get(&format!("/r/{slug}"));
    assert!(status(&folder) == "308" && folder.contains(&format!("Location: {slug}/\r\n")), "{folder}");
    let head = server.raw(format!("HEAD / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", server.port).as_bytes());
    assert!(status(&head) == "200" && head.ends_with("\r\n\r\n"), "HEAD has no body: {head}");
}

#[test]
fn no_path_leads_out_of_the_site() {
    let sandbox = site();
    // Links that were put into the site after it was made.
    std::fs::remove_file(sandbox.path("out/left-out.html")).unwrap();
    std::os::unix::fs::symlink(sandbox.path("secret.txt"), sandbox.path("out/left-out.html")).unwrap();
    sandbox.write("out/more.txt", "not of the list");
    let server = Server::start(&sandbox, "out");
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/r/../../secret.txt",
        "/%252e%252e/secret.txt",
        "//etc/passwd",
        "/%00",
        "/left-out.html",
        "/more.txt",
        "/r/",
        "/.git/config",
        "/wattproof-site.json",
    ] {
        let answer = server.get(target);
        assert!(["400", "404"].contains(&status(&answer)), "{target}: {answer}");
        assert!(!answer.contains("secret\n") && !answer.ends_with("secret") && !answer.contains("root:"), "{target}");
    }
    for target in ["secret.txt", "http://127.0.0.1/", "/%zz", "/%ff"] {
        assert_eq!(status(&server.get(target)), "400", "{target}");
    }
}

#[test]
fn only_get_and_head_from_this_machine_are_answered() {
    let sandbox = site();
    let server = Server::start(&sandbox, "out");
    let with = |line: &str, host: &str| server.raw(format!("{line}\r\n{host}\r\n\r\n").as_bytes());
    let host = format!("Host: 127.0.0.1:{}", server.port);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get"] {
        let answer = with(&format!("{method} / HTTP/1.1"), &host);
        assert!(status(&answer) == "405" && answer.contains("Allow: GET, HEAD"), "{method}: {answer}");
    }
    for host in ["Host: evil.example", "X: y", "Host: evil.example:80\r\nHost: localhost", "Host:"] {
        assert_eq!(status(&with("GET / HTTP/1.1", host)), "421", "{host}");
    }
    for line in ["GET /", "GET / HTTP/2", "GET  / HTTP/1.1", "\u{1}", "GET / HTTP/1.1 x", ""] {
        assert_eq!(status(&with(line, &host)), "400", "{line:?}");
    }
    assert_eq!(status(&server.raw(b"GET /\xff HTTP/1.1\r\n\r\n")), "400");
}

#[test]
fn slow_and_huge_requests_hold_nobody_up() {
    let sandbox = site();
    let server = Server::start(&sandbox, "out");
    let mut slow = server.connect();
    slow.write_all(b"GET / HT").unwrap();
    let idle = server.connect();
    let clock = Clock::start();
    assert_eq!(status(&server.get("/")), "200");
    assert!(clock.now().seconds().get() < 3.0, "the slow one is not waited for");
    let huge = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert_eq!(status(&server.raw(huge.as_bytes())), "431");
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000));
    assert_eq!(status(&server.raw(long.as_bytes())), "431");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "the slow one is let go without an answer");
    drop(idle);
    assert_eq!(status(&server.get("/")), "200");
}

#[test]
fn a_taken_port_is_said_and_ctrl_c_ends_it() {
    let sandbox = site();
    let mut server = Server::start(&sandbox, "out");
    let port = server.port.to_string();
    let said = sandbox.run(&["serve", "out", "--port", &port]).expect(2).stderr;
    assert!(said.contains(&format!("port {port} is taken")) && said.contains("--port"), "{said}");
    let killed = Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn records_are_previewed_without_a_site_and_nothing_stays() {
    let sandbox = site();
    let temporary = sandbox.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = sandbox.command(&["serve", "records", "--port", "0"]);
    let mut child = command.env("TMPDIR", &temporary).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let mut server = Server { child, port };
    assert!(server.get("/").contains("20261122T074512Z-reference-7f3a"));
    let killed = Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    let said = sandbox.run(&["serve", "nowhere", "--port", "0"]).expect(2).stderr;
    assert!(said.contains("cannot read nowhere"), "{said}");
}
