//! A PostgreSQL server of a test's own: in a temporary folder, on loopback, with a password, gone with the test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Password of the one user.
pub(crate) const PASSWORD: &str = "t0p-s3cret";

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Server {
    /// Starts one; why it cannot be, where PostgreSQL is not installed.
    pub(crate) fn start() -> Result<Self, String> {
        let bin =
            programs().ok_or("PostgreSQL is not installed (initdb is neither in PATH nor in /usr/lib/postgresql)")?;
        let dir = tempfile::tempdir().unwrap();
        let (data, secret) = (dir.path().join("data"), dir.path().join("secret"));
        fs::write(&secret, PASSWORD).unwrap();
        let owner = owner()?;
        for path in [dir.path(), secret.as_path()] {
            if let Some((user, group)) = owner {
                std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let mut initdb = as_owner(&bin.join("initdb"), owner);
        initdb.args(["--auth=scram-sha-256", "--username=bench", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        initdb.arg(format!("--pwfile={}", secret.display())).arg("-D").arg(&data).current_dir(dir.path());
        let made = initdb.output().map_err(|e| e.to_string())?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        // Free a moment ago; should another program take it, the server says so and the test fails loudly.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = as_owner(&bin.join("postgres"), owner);
        server.arg("-D").arg(&data).arg("-p").arg(port.to_string()).arg("-k").arg(dir.path()).current_dir(dir.path());
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=20"]);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().map_err(|e| e.to_string())?;
        let mut server = Self { child, port, _dir: dir };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            if server.child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("the server does not answer: {}", fs::read_to_string(server._dir.path().join("log")).unwrap()))
    }

    /// The address of a database, with its password.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://bench:{PASSWORD}@localhost:{}/{database}", self.port)
    }

    /// The same without the password, as it is shown.
    pub(crate) fn shown(&self, database: &str) -> String {
        format!("postgres://bench@localhost:{}/{database}", self.port)
    }

    /// Runs SQL in a database through psql: what it printed, or what it said.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let bin = programs().unwrap();
        let psql = if bin.join("psql").exists() { bin.join("psql") } else { PathBuf::from("psql") };
        let output = Command::new(psql)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "bench"])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A database of its own for every check.
    pub(crate) fn database(&self, name: &str) -> String {
        // The port answers a little before the server does.
        for _ in 0..100 {
            match self.sql("postgres", &format!("CREATE DATABASE \"{name}\"")) {
                Ok(_) => return name.to_owned(),
                Err(said) if said.contains("starting up") => std::thread::sleep(Duration::from_millis(100)),
                Err(said) => panic!("{said}"),
            }
        }
        panic!("the server does not come up");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A fast shutdown: connections are ended.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// The folder with initdb and postgres: of PATH, or the newest that Debian installed.
fn programs() -> Option<PathBuf> {
    let both = |dir: &PathBuf| dir.join("initdb").exists() && dir.join("postgres").exists();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path().join("bin")))
        .collect();
    installed.sort();
    std::env::split_paths(&path).find(both).or_else(|| installed.into_iter().rev().find(both))
}

/// User and group the server runs as: it refuses to be root. `None` for whoever runs the test.
fn owner() -> Result<Option<(u32, u32)>, String> {
    let number = |flag: &str, user: &[&str]| {
        let output = Command::new("id").arg(flag).args(user).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok()
    };
    if number("-u", &[]) != Some(0) {
        return Ok(None);
    }
    let of = |user: &str| Some((number("-u", &[user])?, number("-g", &[user])?));
    let found = of("postgres").or_else(|| of("nobody"));
    found.map(Some).ok_or_else(|| "there is no user that the server could run as".to_owned())
}

/// A program as that user; it ends with the test, even one that is killed.
fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if let Some((user, group)) = owner {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}
