//! Where a store lies: a path, or the address of a server. Passwords never leave this file but to the server.

use std::fmt;
use std::path::PathBuf;

/// Where a store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One SQLite file.
    File(PathBuf),
    /// A PostgreSQL server.
    Server(Server),
}

/// The address of a PostgreSQL server, as given. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    shown: String,
}

/// An address that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server is to be spoken to with TLS.
    #[error(
        "{server}: sslmode={mode} asks for TLS, which this client does not have; forward the server's port through \
         an encrypted tunnel (ssh -N -L 5433:localhost:5432 HOST) and give postgres://USER@localhost:5433/DATABASE"
    )]
    Tls {
        /// The address without its password.
        server: String,
        /// What was asked for.
        mode: String,
    },
    /// Figures and perhaps a password would cross a network in the clear.
    #[error(
        "{server}: {host} is another machine, and this client has no TLS; use a tunnel (ssh -N -L \
         5433:localhost:5432 {host}), or say sslmode=disable where the network itself is trusted"
    )]
    InTheClear {
        /// The address without its password.
        server: String,
        /// The host.
        host: String,
    },
    /// It cannot be read.
    #[error("{server} is no address of a PostgreSQL server: {reason}")]
    Malformed {
        /// The address without its password.
        server: String,
        /// Why.
        reason: String,
    },
}

impl Place {
    /// What `--store` names: `postgres://…` or `postgresql://…` is a server, anything else a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Self::Server(Server { url: text.to_owned(), shown: without_password(text) })
        } else {
            Self::File(PathBuf::from(text))
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(server) => write!(f, "{server}"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.shown)
    }
}

impl Server {
    /// The address with its password, for the client alone.
    #[cfg(feature = "history")]
    pub(super) fn secret(&self) -> &str {
        &self.url
    }

    /// The value of `sslmode`, where the address has one.
    #[cfg(feature = "history")]
    pub(super) fn ssl_mode(&self) -> Option<&str> {
        parameter(&self.url, "sslmode")
    }
}

/// Value of a parameter behind the `?`; the last one counts.
#[cfg(feature = "history")]
fn parameter<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    let (_, query) = url.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
}

/// Where the user's part ends: at the last `@` before the path. A password with an `@` or a `/` that is not escaped
/// must not show either, so whatever stands before the last `@` of the whole address goes.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let place = match rest.rsplit_once('@') {
        Some((user, place)) => {
            let user = user.split(':').next().unwrap_or_default();
            if user.is_empty() { place.to_owned() } else { format!("{user}@{place}") }
        }
        None => rest.to_owned(),
    };
    // Of the parameters only those that say where and how: any other may hold a secret.
    let kept: Vec<&str> = query
        .into_iter()
        .flat_map(|q| q.split('&'))
        .filter(|pair| ["host=", "port=", "user=", "dbname=", "sslmode="].iter().any(|k| pair.starts_with(k)))
        .filter(|pair| !pair.contains('@'))
        .collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    format!("{scheme}://{place}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        for url in [
            "postgres://user:s3cret@host:5432/db",
            "postgresql://user:s3cret@host/db?sslmode=disable",
            "postgres://host/db?user=u&password=s3cret",
            "postgres://user:s3c@s3cret@host/db",
            "postgres://user:a/s3cret@host/db",
            "postgres://:s3cret@host",
            "postgres://user:x?y=s3cret@host/db",
            "postgres://user:x?host=s3cret@host/db",
        ] {
            let place = Place::parse(url);
            for shown in [place.to_string(), format!("{place:?}")] {
                assert!(!shown.contains("s3cret"), "{url}: {shown}");
            }
        }
        assert_eq!(
            Place::parse("postgres://u:p@h:1/db?sslmode=disable&x=y").to_string(),
            "postgres://u@h:1/db?sslmode=disable"
        );
        assert_eq!(Place::parse("reports/history.sqlite"), Place::File("reports/history.sqlite".into()));
    }
}
