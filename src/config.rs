//! Every setting, typed and checked once.
//!
//! `config/default.toml`, built into the program, names every key; a file and
//! the environment override it. All faults are reported together. Settings are
//! for what an operator may tune: limits that keep an exam correct are constants
//! beside the code that they protect.

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

use self::reader::SettingsReader;
use crate::web::origin::WebOrigin;
use invigil_cluster::redis::RedisAddress;
use invigil_management::maintenance::model::RetentionSettings;
use invigil_objects::evidence::{self, EvidenceLocation};
use invigil_telemetry::LogSettings;

/// The complete default settings, with their explanations.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// Keys whose value in the environment is a list, separated by commas.
const LIST_KEYS: [&str; 2] = ["server.allowed_origins", "server.trusted_proxies"];

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address, connections and origins.
    pub server: ServerSettings,
    /// The store.
    pub database: DatabaseSettings,
    /// Months after which old data is archived.
    pub retention: RetentionSettings,
    /// Media files of questions.
    pub media: MediaSettings,
    /// The store of records.
    pub mongodb: MongoSettings,
    /// The bus between nodes.
    pub redis: RedisSettings,
    /// This node within the cluster.
    pub cluster: ClusterSettings,
    /// Delivery of records to `MongoDB`.
    pub recorder: RecordingSettings,
    /// Evidence of attempts.
    pub evidence: EvidenceSettings,
    /// Bounds on frames, commands and sockets of clients.
    pub limits: LimitSettings,
    /// Batches of the writer.
    pub flush: FlushSettings,
    /// Lifetimes of tokens.
    pub session: SessionSettings,
    /// Bounds on failed log-ins.
    pub login: LoginSettings,
    /// Rules of time that depend on the installation.
    pub timing: TimingSettings,
    /// Removal of idle attempts from memory.
    pub idle: IdleSettings,
    /// Format and level of the log.
    pub log: LogSettings,
    /// Shutdown of the engine.
    pub drain: DrainSettings,
    /// All layers merged, for [`Config::to_masked_toml`].
    effective: toml::Table,
}

/// Address, connections and origins.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Listening address.
    pub listen: SocketAddr,
    /// Most connections that may be open.
    pub connections_max: u32,
    /// Time in which request headers must arrive.
    pub header_timeout: Duration,
    /// Time in which a request must be read and answered.
    pub request_timeout: Duration,
    /// Other origins whose pages may use the engine.
    pub allowed_origins: Vec<WebOrigin>,
    /// True if the session cookie is for HTTPS only.
    pub secure_cookies: bool,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// The store: PostgreSQL, or the embedded SQLite file.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Address of PostgreSQL; none selects the embedded store.
    pub url: Option<SecretString>,
    /// Address of PostgreSQL for the management side; none uses `url`.
    pub management_url: Option<SecretString>,
    /// Connections in the management side's pool.
    pub management_connections: u32,
    /// File of the keys that seal personal data and the audit trail.
    pub key_file: PathBuf,
    /// Connections in the engine's pool.
    pub connections: u32,
    /// Directory of the embedded store.
    pub data: PathBuf,
}

/// Media files of questions.
#[derive(Debug, Clone)]
pub struct MediaSettings {
    /// Folder of the files.
    pub folder: PathBuf,
    /// Largest file, in bytes.
    pub file_bytes: usize,
}

/// The store of records: events, and the history of attempts.
#[derive(Debug, Clone)]
pub struct MongoSettings {
    /// Address of `MongoDB`; none keeps records with the attempts.
    pub url: Option<SecretString>,
    /// Name of the database.
    pub database: String,
}

/// The bus between nodes.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Address of Redis; none makes this the only node.
    pub url: Option<RedisAddress>,
    /// Prefix of the channels' names.
    pub prefix: String,
}

/// This node within the cluster.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Name of the node; none uses its address.
    pub node: Option<String>,
}

/// Delivery of records to `MongoDB`.
#[derive(Debug, Clone)]
pub struct RecordingSettings {
    /// Folder where records wait while `MongoDB` is away.
    pub spool: PathBuf,
    /// Most bytes that may wait there.
    pub spool_bytes: u64,
    /// Time after which a write counts as failed.
    pub patience: Duration,
    /// Lifetime of events.
    pub events: Duration,
    /// Lifetime of the history of attempts.
    pub history: Duration,
}

/// Evidence of attempts.
#[derive(Debug, Clone)]
pub struct EvidenceSettings {
    /// Place of the files, as configured; see [`Config::evidence_place`].
    pub place: EvidenceLocation,
    /// Bounds on files, links and lifetimes.
    pub rules: evidence::EvidenceLimits,
}

/// Bounds on frames, commands and sockets of clients.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Largest frame from a client.
    pub frame_bytes: usize,
    /// Largest answer.
    pub answer_bytes: usize,
    /// Commands per second of one connection.
    pub commands_per_second: NonZeroU32,
    /// Commands at once before that rate applies.
    pub burst: NonZeroU32,
    /// Commands of one connection that wait to be saved.
    pub unsaved: u32,
    /// New sockets per second from one address.
    pub connections_per_second: NonZeroU32,
    /// New sockets at once before that rate applies.
    pub connections_burst: NonZeroU32,
    /// Sockets of one address that fail to sign in within [`LoginSettings::window`].
    pub failed_hellos_per_address: u32,
}

/// Batches of the writer.
#[derive(Debug, Clone)]
pub struct FlushSettings {
    /// Longest time that a save waits for others while the store is busy.
    pub max_delay: Duration,
    /// Most attempts saved in one transaction.
    pub max_attempts: usize,
}

/// Lifetimes of tokens.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Token of a log-in.
    pub login: Duration,
    /// Token of an attempt.
    pub attempt_token: Duration,
}

/// Bounds on failed log-ins.
#[derive(Debug, Clone)]
pub struct LoginSettings {
    /// Failures after which a name is locked.
    pub failures_per_name: u32,
    /// Failures after which an address is locked.
    pub failures_per_address: u32,
    /// Window in which failures are counted, and the duration of a lock.
    pub window: Duration,
}

/// Rules of time that depend on the installation.
#[derive(Debug, Clone)]
pub struct TimingSettings {
    /// Shortest outage that is given back to candidates.
    pub outage_min: Duration,
}

/// Removal of idle attempts from memory.
#[derive(Debug, Clone)]
pub struct IdleSettings {
    /// Time without a connection after which an attempt leaves memory.
    pub stop_after: Duration,
}

/// Shutdown of the engine.
#[derive(Debug, Clone)]
pub struct DrainSettings {
    /// Time that connections get to end by themselves.
    pub time: Duration,
}

/// All faults of a configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("invalid configuration:")?;
        self.0
            .iter()
            .try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}

impl Config {
    /// Loads the settings: defaults, then `file`, then the environment.
    ///
    /// # Errors
    /// Returns all faults, each with its key.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = file.map(|path| {
            std::fs::read_to_string(path).map_err(|error| {
                ConfigError(vec![format!("cannot read {}: {error}", path.display())])
            })
        });
        Self::from_layers(text.transpose()?.as_deref(), None)
    }

    /// Loads the settings from text; `environment` replaces the process's own.
    ///
    /// # Errors
    /// Returns all faults, each with its key.
    pub fn from_layers(
        file: Option<&str>,
        environment: Option<HashMap<String, String>>,
    ) -> Result<Self, ConfigError> {
        let variables = LIST_KEYS.iter().fold(
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
            .map_err(|error| ConfigError(vec![error.to_string()]))?;
        let defaults = toml::from_str(DEFAULTS).expect("the built-in defaults are TOML");

        let mut reader = SettingsReader::new(&effective);
        reader.refuse_unknown(&defaults);
        let config = Self::from_reader(&mut reader, effective.clone());
        match reader.into_faults() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(ConfigError(faults)),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one line a setting reads best in one place"
    )]
    fn from_reader(reader: &mut SettingsReader<'_>, effective: toml::Table) -> Self {
        Self {
            server: ServerSettings {
                listen: reader.read_address("server.listen"),
                connections_max: reader.read_integer("server.connections_max", 1..=1_000_000),
                header_timeout: reader.read_seconds("server.header_timeout_seconds", 1..=300),
                request_timeout: reader.read_seconds("server.request_timeout_seconds", 1..=3600),
                allowed_origins: reader.read_origins("server.allowed_origins"),
                secure_cookies: reader.read_boolean("server.secure_cookies"),
                trusted_proxies: reader.read_networks("server.trusted_proxies"),
            },
            database: DatabaseSettings {
                url: reader.read_database_url("database.url"),
                connections: reader.read_integer("database.connections", 2..=100),
                management_url: reader.read_database_url("database.management_url"),
                management_connections: reader
                    .read_integer("database.management_connections", 1..=100),
                key_file: PathBuf::from(reader.read_text("database.key_file")),
                data: PathBuf::from(reader.read_text("database.data")),
            },
            retention: RetentionSettings {
                attempts: reader.read_integer("retention.attempts_months", 0..=1200),
                logs: reader.read_integer("retention.logs_months", 0..=1200),
                audit: reader.read_integer("retention.audit_months", 0..=1200),
            },
            media: MediaSettings {
                folder: PathBuf::from(reader.read_text("media.folder")),
                file_bytes: reader.read_integer("media.file_bytes", 1024..=1_073_741_824),
            },
            mongodb: MongoSettings {
                url: reader.read_mongodb_url("mongodb.url"),
                database: reader.read_text("mongodb.database").to_owned(),
            },
            redis: RedisSettings {
                url: reader.read_redis_url("redis.url"),
                prefix: reader.read_text("redis.prefix").to_owned(),
            },
            cluster: ClusterSettings {
                node: reader.read_optional_text("cluster.node").map(str::to_owned),
            },
            recorder: RecordingSettings {
                spool: PathBuf::from(reader.read_text("recorder.spool")),
                spool_bytes: reader.read_integer("recorder.spool_bytes", 1_048_576..=1 << 50),
                patience: Duration::from_millis(
                    reader.read_integer("recorder.patience_ms", 100..=60_000),
                ),
                events: reader.read_days("recorder.events_days", 1..=36_500),
                history: reader.read_days("recorder.history_days", 1..=36_500),
            },
            evidence: EvidenceSettings::from_reader(reader),
            limits: LimitSettings {
                frame_bytes: reader.read_integer("limits.frame_bytes", 1024..=65_536),
                answer_bytes: reader.read_integer("limits.answer_bytes", 1024..=16_777_216),
                commands_per_second: reader.read_nonzero("limits.commands_per_second", 1..=1000),
                burst: reader.read_nonzero("limits.burst", 1..=10_000),
                unsaved: reader.read_integer("limits.unsaved", 1..=10_000),
                connections_per_second: reader
                    .read_nonzero("limits.connections_per_second", 1..=1_000_000),
                connections_burst: reader.read_nonzero("limits.connections_burst", 1..=1_000_000),
                failed_hellos_per_address: reader
                    .read_integer("limits.failed_hellos_per_address", 1..=1_000_000),
            },
            flush: FlushSettings {
                max_delay: Duration::from_millis(
                    reader.read_integer("flush.max_delay_ms", 0..=1000),
                ),
                max_attempts: reader.read_integer("flush.max_attempts", 1..=10_000),
            },
            session: SessionSettings {
                login: reader.read_hours("session.login_hours", 1..=720),
                attempt_token: reader.read_hours("session.attempt_token_hours", 1..=720),
            },
            login: LoginSettings {
                failures_per_name: reader.read_integer("login.failures_per_name", 1..=1000),
                failures_per_address: reader
                    .read_integer("login.failures_per_address", 1..=1_000_000),
                window: reader.read_seconds("login.window_seconds", 1..=86_400),
            },
            timing: TimingSettings {
                outage_min: reader.read_seconds("timing.outage_min_seconds", 1..=3600),
            },
            idle: IdleSettings {
                stop_after: reader.read_seconds("idle.stop_after_seconds", 1..=86_400),
            },
            log: LogSettings {
                format: reader.read_log_format("log.format"),
                level: reader.read_log_level("log.level"),
            },
            drain: DrainSettings {
                time: reader.read_seconds("drain.seconds", 0..=300),
            },
            effective,
        }
    }

    /// Returns the place of evidence. With the embedded store, a relative folder is within its
    /// data directory.
    pub fn evidence_place(&self) -> EvidenceLocation {
        match &self.evidence.place {
            EvidenceLocation::Folder(folder) if self.database.url.is_none() => {
                EvidenceLocation::Folder(self.database.data.join(folder))
            }
            place @ (EvidenceLocation::Folder(_) | EvidenceLocation::S3(_)) => place.clone(),
        }
    }

    /// Returns the effective settings as TOML, with secrets masked.
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
                *url = mask_url(url);
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

impl EvidenceSettings {
    fn from_reader(reader: &mut SettingsReader<'_>) -> Self {
        let days: u64 = reader.read_integer("evidence.days", 1..=36_500);
        Self {
            place: reader.read_evidence_place(),
            rules: evidence::EvidenceLimits {
                file_bytes: reader.read_integer("evidence.file_bytes", 1024..=1_073_741_824),
                files_per_hour: reader.read_nonzero("evidence.files_per_hour", 1..=100_000),
                link_lifetime: reader.read_seconds("evidence.link_seconds", 1..=3600),
                retention: Duration::from_hours(24 * days),
            },
        }
    }
}

/// Masks all but scheme, host and database: a password may stand before the
/// host or in the parameters.
fn mask_url(url: &str) -> String {
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

    use invigil_telemetry::LogFormat;

    use super::*;

    fn load_text(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Config::from_layers(Some(file), Some(environment))
    }

    #[test]
    fn the_defaults_are_complete_and_right() {
        let config = load_text("", &[]).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.server.header_timeout, Duration::from_secs(10));
        assert!(config.database.url.is_none());
        assert_eq!(config.limits.answer_bytes, 1 << 20);
    }

    #[test]
    fn the_production_example_is_right() {
        let config = load_text(include_str!("../config/production.example.toml"), &[]).unwrap();
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
        let config = load_text(file, &environment).unwrap();
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
        let faults = load_text(file, &[("INVIGIL__LIMITS__BURST", "many")]).unwrap_err();
        expect![[r#"
            invalid configuration:
              `flush` must be a section of settings
              unknown setting `nonsense`
              unknown setting `server.listn`
              `server.listen` must be an address and port such as 0.0.0.0:8080
              `server.connections_max` must be a whole number from 1 to 1000000
              `server.allowed_origins` lists "exam.example", which is not an origin such as https://exam.example
              `server.allowed_origins` lists "https://exam.example/path", which is not an origin such as https://exam.example
              `server.secure_cookies` must be true or false
              `server.trusted_proxies` lists "10.0.0.0/99", which is not a network such as 10.0.0.0/8
              `database.url` must be empty or begin with postgres://
              `limits.burst` must be a whole number from 1 to 10000
              `log.format` must be text or json
              `log.level` must be a log filter such as info"#]]
        .assert_eq(&faults.to_string());
    }

    #[test]
    fn a_renamed_key_is_refused_with_its_new_name() {
        let file = load_text("[flush]\nmax_rows = 1000", &[]).unwrap_err();
        let environment = load_text("", &[("INVIGIL__FLUSH__MAX_ROWS", "1000")]).unwrap_err();
        expect![[r"
            invalid configuration:
              unknown setting `flush.max_rows`: it is `flush.max_attempts` now"]]
        .assert_eq(&file.to_string());
        assert_eq!(environment, file);
        let renamed = load_text("", &[("INVIGIL__FLUSH__MAX_ATTEMPTS", "7")]).unwrap();
        assert_eq!(renamed.flush.max_attempts, 7);
    }

    #[test]
    fn a_file_that_is_no_toml_is_refused() {
        assert!(load_text("[server", &[]).is_err());
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
        let config = load_text("", &urls).unwrap();
        let printed = config.to_masked_toml();
        assert!(
            printed.contains("postgres://***@db.example:5432/exams"),
            "{printed}"
        );
        assert!(!printed.contains("secret\""), "{printed}");
        assert!(!format!("{:?}", config.database).contains("secret@"));
        assert_eq!(mask_url("nonsense"), "://***@");
    }

    #[test]
    fn evidence_is_in_a_folder_or_a_bucket() {
        let place = |text: &str, data: &str| {
            let file = format!("[database]\ndata = \"{data}\"\n[evidence]\n{text}");
            load_text(&file, &[]).map(|config| format!("{:?}", config.evidence_place()))
        };
        let folder = |path: &str| Ok(format!("Folder({path:?})"));
        assert_eq!(place("", "here"), folder("here/evidence"));
        assert_eq!(place("url = \"/var/e\"", "here"), folder("/var/e"));
        let servers = load_text("database.url = \"postgres://h/d\"", &[]).unwrap();
        assert_eq!(
            format!("{:?}", servers.evidence_place()),
            "Folder(\"evidence\")"
        );
        let file = "url = \"s3://b/some/where/\"\nendpoint = \"http://127.0.0.1:9000\"\n\
                    access_key = \"name\"\nsecret_key = \"hush\"";
        let shown = place(file, "here").unwrap();
        expect![[r#"S3(S3Settings { bucket: "b", prefix: "some/where", endpoint: Some("http://127.0.0.1:9000"), region: "us-east-1", credentials: Some(S3Credentials { access_key: "name", secret_key: SecretBox<str>([REDACTED]) }) })"#]]
        .assert_eq(&shown);
        let masked = load_text(&format!("[evidence]\n{file}"), &[])
            .unwrap()
            .to_masked_toml();
        assert!(masked.contains("secret_key = \"***\"") && !masked.contains("hush"));
        assert!(
            load_text("", &[])
                .unwrap()
                .to_masked_toml()
                .contains("secret_key = \"\"")
        );
        let wrong = "url = \"s3:///x\"\nendpoint = \"minio\"\nregion = \"\"\nsecret_key = \"x\"";
        expect![[r"
            invalid configuration:
              `evidence.url` must name a bucket, as s3://bucket/prefix
              `evidence.endpoint` must be empty, or as https://host:port
              `evidence.region` must be a text that is not empty
              `evidence.access_key` and `evidence.secret_key` must be set together, or neither"]]
        .assert_eq(&place(wrong, "here").unwrap_err().to_string());
        let ftp = place("url = \"ftp://h/e\"", "here").unwrap_err();
        assert!(
            ftp.to_string()
                .contains("`evidence.url` must be a folder or begin with s3://")
        );
    }
}
