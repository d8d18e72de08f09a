//! Every setting, typed and checked once.
//!
//! `config/default.toml`, built into the program, names every key; a file and
//! the environment override it. All faults are reported together. What is here
//! is only what an operator may tune: limits that keep an exam correct are
//! constants beside the code that they protect.

mod reader;

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Environment, File, FileFormat};
use ipnet::IpNet;
use secrecy::SecretString;

use self::reader::Reader;
use crate::{
    cluster::redis::Address,
    evidence::{self, Place},
    web::origin::Origin,
};

/// The complete defaults, with their explanation.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// Keys whose value in the environment is a list, separated by commas.
const LISTS: [&str; 2] = ["server.allowed_origins", "server.trusted_proxies"];

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the engine is reached.
    pub server: Server,
    /// Where data lasts.
    pub database: Database,
    /// How long what is over stays at hand.
    pub retention: Retention,
    /// Files of questions.
    pub media: Media,
    /// Where records go.
    pub mongodb: MongoDb,
    /// How nodes hear each other.
    pub redis: Redis,
    /// This node among the others.
    pub cluster: Cluster,
    /// How records get there.
    pub recorder: Recorder,
    /// Evidence of attempts.
    pub evidence: Evidence,
    /// Bounds on what clients send.
    pub limits: Limits,
    /// How saves are grouped.
    pub flush: Flush,
    /// How long tokens are valid.
    pub session: Session,
    /// Bounds on failed log-ins.
    pub login: Login,
    /// The rules of time that depend on the installation.
    pub timing: Timing,
    /// When attempts leave memory.
    pub idle: Idle,
    /// How the engine logs.
    pub log: Log,
    /// How the engine stops.
    pub drain: Drain,
    /// All layers merged, for [`Config::to_masked_toml`].
    effective: toml::Table,
}

/// How the engine is reached.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Open connections.
    pub connections_max: u32,
    /// In which request headers must arrive.
    pub header_timeout: Duration,
    /// In which a request must be read and answered.
    pub request_timeout: Duration,
    /// Other origins whose pages may use the engine.
    pub allowed_origins: Vec<Origin>,
    /// Whether the session cookie is for HTTPS only.
    pub secure_cookies: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Where data lasts.
#[derive(Debug, Clone)]
pub struct Database {
    /// PostgreSQL; none: embedded.
    pub url: Option<SecretString>,
    /// PostgreSQL with the log-in of the management side; none: as `url`.
    pub management_url: Option<SecretString>,
    /// Size of the management side's pool.
    pub management_connections: u32,
    /// Keys of personal data and of the audit trail.
    pub key_file: PathBuf,
    /// Size of the pool.
    pub connections: u32,
    /// Directory of the embedded store.
    pub data: PathBuf,
}

/// How long what is over stays at hand, in months; 0: for ever.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Attempts.
    pub attempts: u32,
    /// Log-ins, what proctors did, security events.
    pub logs: u32,
    /// The audit trail.
    pub audit: u32,
}

/// Files of questions.
#[derive(Debug, Clone)]
pub struct Media {
    /// Where they are.
    pub folder: PathBuf,
    /// The most of one, bytes.
    pub file_bytes: usize,
}

/// Where records go: events, and the history of attempts.
#[derive(Debug, Clone)]
pub struct MongoDb {
    /// `MongoDB`; none: records stay with the attempts.
    pub url: Option<SecretString>,
    /// The database.
    pub database: String,
}

/// How nodes hear each other.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Redis; none: this node is alone.
    pub url: Option<Address>,
    /// What its channels begin with.
    pub prefix: String,
}

/// This node among the others.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// What it is called; none: as its address.
    pub node: Option<String>,
}

/// How records get to `MongoDB`.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Where they wait while it is away.
    pub spool: PathBuf,
    /// The most that may wait there, bytes.
    pub spool_bytes: u64,
    /// After which a write counts as failed.
    pub patience: Duration,
    /// How long events are kept.
    pub events: Duration,
    /// How long the history of attempts is kept.
    pub history: Duration,
}

/// Evidence of attempts.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Where the files are, as it is set.
    pub place: Place,
    /// What is allowed, and for how long.
    pub rules: evidence::Rules,
}

/// Bounds on what clients send.
#[derive(Debug, Clone)]
pub struct Limits {
    /// One frame from a client.
    pub frame_bytes: usize,
    /// One answer.
    pub answer_bytes: usize,
    /// Commands a second of one connection.
    pub commands_per_second: NonZeroU32,
    /// Commands at once before that counts.
    pub burst: NonZeroU32,
    /// Commands of one connection that wait to be saved.
    pub unsaved: u32,
    /// New sockets a second from one address.
    pub connections_per_second: NonZeroU32,
    /// New sockets at once before that counts.
    pub connections_burst: NonZeroU32,
    /// Sockets of one address that fail to sign in within [`Login::window`].
    pub failed_hellos_per_address: u32,
}

/// How saves are grouped.
#[derive(Debug, Clone)]
pub struct Flush {
    /// How long a save may wait for others while the store is busy.
    pub max_delay: Duration,
    /// Rows in one transaction.
    pub max_rows: usize,
}

/// How long tokens are valid.
#[derive(Debug, Clone)]
pub struct Session {
    /// A log-in.
    pub login: Duration,
    /// The token of an attempt.
    pub attempt_token: Duration,
}

/// Bounds on failed log-ins.
#[derive(Debug, Clone)]
pub struct Login {
    /// Before a name is locked.
    pub failures_per_name: u32,
    /// Before an address is locked.
    pub failures_per_address: u32,
    /// Over which failures are counted, and how long a lock lasts.
    pub window: Duration,
}

/// The rules of time that depend on the installation.
#[derive(Debug, Clone)]
pub struct Timing {
    /// A shorter time without the engine is not given back.
    pub outage_min: Duration,
}

/// When attempts leave memory.
#[derive(Debug, Clone)]
pub struct Idle {
    /// After this long without a connection.
    pub stop_after: Duration,
}

/// How the engine logs.
#[derive(Debug, Clone)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// A filter directive of `tracing-subscriber`.
    pub level: String,
}

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How the engine stops.
#[derive(Debug, Clone)]
pub struct Drain {
    /// What connections get to end by themselves.
    pub time: Duration,
}

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the settings are not right:")?;
        self.0
            .iter()
            .try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}

impl Config {
    /// The settings in effect: defaults, then `file`, then the environment.
    ///
    /// # Errors
    /// With everything that is wrong, each with its key.
    pub fn load(file: Option<&Path>) -> Result<Self, Faults> {
        let text = file.map(|path| {
            std::fs::read_to_string(path)
                .map_err(|error| Faults(vec![format!("{}: {error}", path.display())]))
        });
        Self::from_layers(text.transpose()?.as_deref(), None)
    }

    /// As [`Config::load`], from text; `environment` stands for the process's own.
    ///
    /// # Errors
    /// With everything that is wrong, each with its key.
    pub fn from_layers(
        file: Option<&str>,
        environment: Option<HashMap<String, String>>,
    ) -> Result<Self, Faults> {
        let variables = LISTS.iter().fold(
            Environment::with_prefix("INVIGIL")
                .prefix_separator("__")
                .separator("__")
                .try_parsing(true)
                .list_separator(",")
                .source(environment),
            |variables, key| variables.with_list_parse_key(key),
        );
        let effective = config::Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .add_source(File::from_str(file.unwrap_or_default(), FileFormat::Toml))
            .add_source(variables)
            .build()
            .and_then(config::Config::try_deserialize::<toml::Table>)
            .map_err(|error| Faults(vec![error.to_string()]))?;
        let defaults = toml::from_str(DEFAULTS).expect("the built-in defaults are TOML");

        let mut reader = Reader::new(&effective);
        reader.refuse_unknown(&defaults);
        let config = Self::read(&mut reader, effective.clone());
        match reader.faults() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(Faults(faults)),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one line a setting reads best in one place"
    )]
    fn read(reader: &mut Reader<'_>, effective: toml::Table) -> Self {
        Self {
            server: Server {
                listen: reader.address("server.listen"),
                connections_max: reader.integer("server.connections_max", 1..=1_000_000),
                header_timeout: reader.seconds("server.header_timeout_seconds", 1..=300),
                request_timeout: reader.seconds("server.request_timeout_seconds", 1..=3600),
                allowed_origins: reader.origins("server.allowed_origins"),
                secure_cookies: reader.boolean("server.secure_cookies"),
                trusted_proxies: reader.networks("server.trusted_proxies"),
            },
            database: Database {
                url: reader.database_url("database.url"),
                connections: reader.integer("database.connections", 2..=100),
                management_url: reader.database_url("database.management_url"),
                management_connections: reader.integer("database.management_connections", 1..=100),
                key_file: PathBuf::from(reader.text("database.key_file")),
                data: PathBuf::from(reader.text("database.data")),
            },
            retention: Retention {
                attempts: reader.integer("retention.attempts_months", 0..=1200),
                logs: reader.integer("retention.logs_months", 0..=1200),
                audit: reader.integer("retention.audit_months", 0..=1200),
            },
            media: Media {
                folder: PathBuf::from(reader.text("media.folder")),
                file_bytes: reader.integer("media.file_bytes", 1024..=1_073_741_824),
            },
            mongodb: MongoDb {
                url: reader.mongodb_url("mongodb.url"),
                database: reader.text("mongodb.database").to_owned(),
            },
            redis: Redis {
                url: reader.redis_url("redis.url"),
                prefix: reader.text("redis.prefix").to_owned(),
            },
            cluster: Cluster {
                node: reader.optional("cluster.node").map(str::to_owned),
            },
            recorder: Recorder {
                spool: PathBuf::from(reader.text("recorder.spool")),
                spool_bytes: reader.integer("recorder.spool_bytes", 1_048_576..=1 << 50),
                patience: Duration::from_millis(
                    reader.integer("recorder.patience_ms", 100..=60_000),
                ),
                events: reader.days("recorder.events_days", 1..=36_500),
                history: reader.days("recorder.history_days", 1..=36_500),
            },
            evidence: Evidence::read(reader),
            limits: Limits {
                frame_bytes: reader.integer("limits.frame_bytes", 1024..=65_536),
                answer_bytes: reader.integer("limits.answer_bytes", 1024..=16_777_216),
                commands_per_second: reader.nonzero("limits.commands_per_second", 1..=1000),
                burst: reader.nonzero("limits.burst", 1..=10_000),
                unsaved: reader.integer("limits.unsaved", 1..=10_000),
                connections_per_second: reader
                    .nonzero("limits.connections_per_second", 1..=1_000_000),
                connections_burst: reader.nonzero("limits.connections_burst", 1..=1_000_000),
                failed_hellos_per_address: reader
                    .integer("limits.failed_hellos_per_address", 1..=1_000_000),
            },
            flush: Flush {
                max_delay: Duration::from_millis(reader.integer("flush.max_delay_ms", 0..=1000)),
                max_rows: reader.integer("flush.max_rows", 1..=10_000),
            },
            session: Session {
                login: reader.hours("session.login_hours", 1..=720),
                attempt_token: reader.hours("session.attempt_token_hours", 1..=720),
            },
            login: Login {
                failures_per_name: reader.integer("login.failures_per_name", 1..=1000),
                failures_per_address: reader.integer("login.failures_per_address", 1..=1_000_000),
                window: reader.seconds("login.window_seconds", 1..=86_400),
            },
            timing: Timing {
                outage_min: reader.seconds("timing.outage_min_seconds", 1..=3600),
            },
            idle: Idle {
                stop_after: reader.seconds("idle.stop_after_seconds", 1..=86_400),
            },
            log: Log {
                format: reader.log_format("log.format"),
                level: reader.log_level("log.level"),
            },
            drain: Drain {
                time: reader.seconds("drain.seconds", 0..=300),
            },
            effective,
        }
    }

    /// Where evidence is: a folder without a path from the root is in the data directory of the
    /// embedded store.
    pub fn evidence_place(&self) -> Place {
        match &self.evidence.place {
            Place::Folder(folder) if self.database.url.is_none() => {
                Place::Folder(self.database.data.join(folder))
            }
            place @ (Place::Folder(_) | Place::S3(_)) => place.clone(),
        }
    }

    /// What is in effect, as TOML, with secrets masked.
    pub fn to_masked_toml(&self) -> String {
        let mut effective = self.effective.clone();
        let secrets = [
            ("database", "url"),
            ("database", "management_url"),
            ("mongodb", "url"),
            ("redis", "url"),
        ];
        for (section, key) in secrets {
            if let Some(toml::Value::String(url)) = effective
                .get_mut(section)
                .and_then(|section| section.get_mut(key))
            {
                *url = mask(url);
            }
        }
        let secret = effective.get_mut("evidence");
        let secret = secret.and_then(|section| section.get_mut("secret_key"));
        if let Some(toml::Value::String(secret)) = secret.filter(|it| it.as_str() != Some("")) {
            "***".clone_into(secret);
        }
        toml::to_string(&effective).expect("a TOML table can be written")
    }
}

impl Evidence {
    fn read(reader: &mut Reader<'_>) -> Self {
        let days: u64 = reader.integer("evidence.days", 1..=36_500);
        Self {
            place: reader.evidence_place(),
            rules: evidence::Rules {
                file_bytes: reader.integer("evidence.file_bytes", 1024..=1_073_741_824),
                files_per_hour: reader.nonzero("evidence.files_per_hour", 1..=100_000),
                link: reader.seconds("evidence.link_seconds", 1..=3600),
                keep: Duration::from_hours(24 * days),
            },
        }
    }
}

/// Only scheme, host and database stay readable: a password may stand before
/// the host or in the parameters.
fn mask(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    let place = rest.rsplit('@').next().unwrap_or_default();
    let place = place.split('?').next().unwrap_or_default();
    format!("{scheme}://***@{place}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use secrecy::ExposeSecret;

    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Faults> {
        let environment = environment
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Config::from_layers(Some(file), Some(environment))
    }

    #[test]
    fn the_defaults_are_complete_and_right() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.server.header_timeout, Duration::from_secs(10));
        assert!(config.database.url.is_none());
        assert_eq!(config.limits.answer_bytes, 1 << 20);
    }

    #[test]
    fn the_production_example_is_right() {
        let config = load(include_str!("../config/production.example.toml"), &[]).unwrap();
        assert!(config.server.secure_cookies);
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn the_environment_overrides_the_file_and_the_file_the_defaults() {
        let file = "[server]\nlisten = \"0.0.0.0:80\"\nconnections_max = 7";
        let environment = [
            ("INVIGIL__SERVER__LISTEN", "[::1]:81"),
            ("INVIGIL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::1/128"),
            ("INVIGIL__SERVER__SECURE_COOKIES", "true"),
            ("INVIGIL__DATABASE__URL", "postgres://u:p@h/d"),
        ];
        let config = load(file, &environment).unwrap();
        assert_eq!(config.server.listen.to_string(), "[::1]:81");
        assert_eq!(config.server.connections_max, 7);
        assert_eq!(config.server.trusted_proxies.len(), 2);
        assert!(config.server.secure_cookies);
        assert_eq!(
            config.database.url.unwrap().expose_secret(),
            "postgres://u:p@h/d"
        );
    }

    #[test]
    fn all_faults_are_reported_together() {
        let file = r#"
            nonsense = 1
            flush = 3
            [server]
            listen = "here"
            listn = "there"
            connections_max = 0
            allowed_origins = ["exam.example", "https://exam.example/path"]
            trusted_proxies = ["10.0.0.0/99"]
            secure_cookies = "perhaps"
            [database]
            url = "mysql://h/d"
            [log]
            format = "xml"
            level = "a=b=c"
        "#;
        let faults = load(file, &[("INVIGIL__LIMITS__BURST", "many")]).unwrap_err();
        expect![[r#"
            the settings are not right:
              flush: is a section of settings
              nonsense: there is no such setting
              server.listn: there is no such setting
              server.listen: must be an address and port such as 0.0.0.0:8080
              server.connections_max: must be a whole number from 1 to 1000000
              server.allowed_origins: "exam.example" is not an origin such as https://exam.example
              server.allowed_origins: "https://exam.example/path" is not an origin such as https://exam.example
              server.secure_cookies: must be true or false
              server.trusted_proxies: "10.0.0.0/99" is not a network such as 10.0.0.0/8
              database.url: must be empty or begin with postgres://
              limits.burst: must be a whole number from 1 to 10000
              log.format: must be text or json
              log.level: must be a log filter such as info"#]]
        .assert_eq(&faults.to_string());
    }

    #[test]
    fn a_file_that_is_no_toml_is_refused() {
        assert!(load("[server", &[]).is_err());
    }

    #[test]
    fn secrets_are_masked() {
        let url = "postgres://someone:secret@db.example:5432/exams?password=secret";
        let mongodb = "mongodb://someone:secret@db.example/?authSource=secret";
        let redis = "redis-cluster://:secret@cache.example?node=two";
        let urls = [
            ("INVIGIL__DATABASE__URL", url),
            ("INVIGIL__MONGODB__URL", mongodb),
            ("INVIGIL__REDIS__URL", redis),
        ];
        let config = load("", &urls).unwrap();
        let printed = config.to_masked_toml();
        assert!(
            printed.contains("postgres://***@db.example:5432/exams"),
            "{printed}"
        );
        assert!(!printed.contains("secret\""), "{printed}");
        assert!(!format!("{:?}", config.database).contains("secret@"));
        assert_eq!(mask("nonsense"), "://***@");
    }

    #[test]
    fn evidence_is_in_a_folder_or_a_bucket() {
        let place = |text: &str, data: &str| {
            let file = format!("[database]\ndata = \"{data}\"\n[evidence]\n{text}");
            load(&file, &[]).map(|config| format!("{:?}", config.evidence_place()))
        };
        let folder = |path: &str| Ok(format!("Folder({path:?})"));
        assert_eq!(place("", "here"), folder("here/evidence"));
        assert_eq!(place("url = \"/var/e\"", "here"), folder("/var/e"));
        let servers = load("database.url = \"postgres://h/d\"", &[]).unwrap();
        assert_eq!(
            format!("{:?}", servers.evidence_place()),
            "Folder(\"evidence\")"
        );
        let file = "url = \"s3://b/some/where/\"\nendpoint = \"http://127.0.0.1:9000\"\n\
                    access_key = \"name\"\nsecret_key = \"hush\"";
        let shown = place(file, "here").unwrap();
        expect![[r#"S3(S3 { bucket: "b", prefix: "some/where", endpoint: Some("http://127.0.0.1:9000"), region: "us-east-1", credentials: Some(Credentials { access_key: "name", secret_key: SecretBox<str>([REDACTED]) }) })"#]]
        .assert_eq(&shown);
        let masked = load(&format!("[evidence]\n{file}"), &[])
            .unwrap()
            .to_masked_toml();
        assert!(masked.contains("secret_key = \"***\"") && !masked.contains("hush"));
        assert!(
            load("", &[])
                .unwrap()
                .to_masked_toml()
                .contains("secret_key = \"\"")
        );
        let wrong = "url = \"s3:///x\"\nendpoint = \"minio\"\nregion = \"\"\nsecret_key = \"x\"";
        expect![[r"
            the settings are not right:
              evidence.url: must name a bucket, as s3://bucket/prefix
              evidence.endpoint: must be empty, or as https://host:port
              evidence.region: must be a text that is not empty
              evidence.access_key: is needed with evidence.secret_key, and the other way round"]]
        .assert_eq(&place(wrong, "here").unwrap_err().to_string());
        let ftp = place("url = \"ftp://h/e\"", "here").unwrap_err();
        assert!(
            ftp.to_string()
                .contains("evidence.url: must be a folder or begin with s3://")
        );
    }
}
