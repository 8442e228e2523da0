//! A Redis of one's own.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::directory::Directory;
use super::process::Ladder;
use super::server::{Kind, Server, new_password};
use super::{Durability, Error, binaries};

/// A private `redis-server` (or `valkey-server`). Ends when dropped.
#[derive(Debug)]
pub struct PrivateRedis {
    server: Server<Redis>,
}

struct Redis {
    program: PathBuf,
    durability: Durability,
    password: String,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("program", &self.program).finish_non_exhaustive()
    }
}

impl PrivateRedis {
    /// Starts one in this directory, with the data that a former one left there.
    ///
    /// # Errors
    /// It is not installed, the directory is in use, or it did not come up.
    pub async fn start(dir: &Path) -> Result<Self, Error> {
        Self::start_with(dir, Durability::Durable).await
    }

    /// Starts one in this directory that takes this care of its data.
    ///
    /// # Errors
    /// See [`PrivateRedis::start`].
    pub async fn start_with(dir: &Path, durability: Durability) -> Result<Self, Error> {
        let program = binaries::redis()?;
        let directory = Directory::open(dir).await?;
        let kind = Redis { program, durability, password: new_password() };
        Ok(Self { server: Server::start(kind, directory).await? })
    }

    /// Where it is: `redis://:password@127.0.0.1:port/0`.
    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", self.server.kind.password, self.server.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where its data is: elsewhere than asked if the account it runs as can't reach that.
    pub fn data_dir(&self) -> PathBuf {
        self.server.directory.home.join("data")
    }

    /// Sends it a signal (`STOP` and `CONT` to freeze it, `KILL`); nothing if it has ended.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// It outlived every signal.
    pub async fn stop(&self) -> Result<(), Error> {
        self.server.stop().await
    }

    /// Starts it again with the same url, ending it first if it still runs.
    ///
    /// # Errors
    /// It did not come up, for instance because its port was taken meanwhile.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.server.start_again().await
    }
}

impl Kind for Redis {
    const NAME: &'static str = "redis";
    const LADDER: Ladder = &[
        (Signal::TERM, Duration::from_secs(10)),
        // What it acknowledged is in its file by then.
        (Signal::KILL, Duration::from_secs(10)),
    ];

    fn command(&self, directory: &Directory, port: u16) -> Result<Command, Error> {
        let data = directory.own_dir("data")?;
        let keep = match self.durability {
            Durability::Durable => "appendonly yes\nappendfsync everysec\n",
            Durability::Throwaway => "appendonly no\n",
        };
        // In a file, not in the arguments: everybody can read those.
        let text = format!(
            "bind 127.0.0.1\nport {port}\nprotected-mode yes\nrequirepass {}\ndir {}\ndaemonize no\n\
             maxmemory-policy noeviction\nsave \"\"\n{keep}",
            self.password,
            quoted(&data),
        );
        let file = directory.write_secret("redis.conf", &text)?;
        let on_death = match self.durability {
            Durability::Durable => Signal::TERM,
            // Even one that a test froze.
            Durability::Throwaway => Signal::KILL,
        };
        let mut command = directory.runner.command(&self.program, on_death);
        command.arg(file);
        Ok(command)
    }

    async fn probe(&self, port: u16) -> Result<(), String> {
        let ask = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            stream.write_all(format!("AUTH {}\r\nPING\r\n", self.password).as_bytes()).await?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.map(|_| answer)
        };
        match tokio::time::timeout(Duration::from_secs(1), ask).await {
            Ok(Ok(answer)) if &answer == b"+OK\r\n+PONG\r\n" => Ok(()),
            Ok(Ok(_)) => Err("it answers, but not as ours".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer within a second".to_owned()),
        }
    }
}

/// A path as redis.conf reads it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_keeps_its_data_and_its_url_over_a_kill() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut redis = PrivateRedis::start(dir.path()).await.expect("starts");
        let (url, pid) = (redis.url(), redis.pid());
        assert_eq!(say(&redis, "SET kept 1\r\n").await, "+OK\r\n");
        redis.stop().await.expect("stops");
        redis.start_again().await.expect("starts again");
        assert_eq!((redis.url(), redis.pid() != pid), (url, true));
        assert_eq!(say(&redis, "GET kept\r\n").await, "$1\r\n1\r\n");
        redis.signal(Signal::STOP);
        let frozen = Instant::now();
        redis.stop().await.expect("stops although it is frozen");
        assert!(frozen.elapsed() < Duration::from_secs(9), "it was woken, not killed");
        redis.start_again().await.expect("starts again");
        redis.signal(Signal::KILL);
        redis.start_again().await.expect("starts after a kill");
        assert_eq!(say(&redis, "GET kept\r\n").await, "$1\r\n1\r\n");
    }

    #[tokio::test]
    async fn it_wants_the_password() {
        let dir = tempfile::tempdir().expect("a directory");
        let redis = PrivateRedis::start_with(dir.path(), Durability::Throwaway).await.expect("starts");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).await.expect("connects");
        stream.write_all(b"PING\r\n").await.expect("sent");
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await.expect("answers");
        assert_eq!(&answer, b"-NOAUTH");
        assert!(!format!("{redis:?}").contains(&redis.server.kind.password), "Debug shows the password");
    }

    async fn say(redis: &PrivateRedis, text: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).await.expect("connects");
        let text = format!("AUTH {}\r\n{text}QUIT\r\n", redis.server.kind.password);
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answers");
        let answer = answer.strip_prefix("+OK\r\n").and_then(|rest| rest.strip_suffix("+OK\r\n"));
        answer.expect("the password and the end are acknowledged").to_owned()
    }
}
