//! Reads typed values out of the merged settings and collects the faults.
//!
//! A wrong value becomes a fault and a placeholder. The placeholder is never used:
//! a configuration with faults is refused as a whole.

use std::{fmt, net::SocketAddr, num::NonZeroU32, ops::RangeInclusive, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use crate::web::origin::WebOrigin;
use invigil_cluster::redis::RedisAddress;
use invigil_objects::evidence::{EvidenceLocation, S3Credentials, S3Settings};
use invigil_telemetry::LogFormat;

/// Keys that were renamed, each with the key that replaces it.
const RENAMED: [(&str, &str); 1] = [("flush.max_rows", "flush.max_attempts")];

pub(super) struct SettingsReader<'a> {
    effective: &'a Table,
    faults: Vec<String>,
}

impl<'a> SettingsReader<'a> {
    pub(super) fn new(effective: &'a Table) -> Self {
        Self {
            effective,
            faults: Vec::new(),
        }
    }

    pub(super) fn into_faults(self) -> Vec<String> {
        self.faults
    }

    /// Refuses every key that the defaults, which are complete, do not have.
    pub(super) fn refuse_unknown(&mut self, defaults: &Table) {
        for (section, values) in self.effective {
            match (defaults.get(section).and_then(Value::as_table), values) {
                (None, _) => self.refuse_key(section),
                (Some(known), Value::Table(values)) => {
                    for key in values.keys().filter(|&key| !known.contains_key(key)) {
                        self.refuse_key(&format!("{section}.{key}"));
                    }
                }
                (Some(_), _) => self.add_fault(section, "must be a section of settings"),
            }
        }
    }

    fn refuse_key(&mut self, key: &str) {
        let renamed = RENAMED.iter().find(|(old, _)| *old == key);
        self.faults.push(match renamed {
            Some((_, new)) => format!("unknown setting `{key}`: it is `{new}` now"),
            None => format!("unknown setting `{key}`"),
        });
    }

    fn add_fault(&mut self, key: &str, what: impl fmt::Display) {
        self.faults.push(format!("`{key}` {what}"));
    }

    /// Returns none only where the section is no table, which is a fault already.
    fn find_value(&self, key: &str) -> Option<&'a Value> {
        let (section, key) = key.split_once('.').expect("a key has a section");
        self.effective.get(section)?.get(key)
    }

    /// Returns the value as `read` converts it; adds a fault where `read` returns none.
    fn read_value<T>(
        &mut self,
        key: &str,
        expected: impl fmt::Display,
        placeholder: impl FnOnce() -> T,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> T {
        let Some(value) = self.find_value(key) else {
            return placeholder();
        };
        read(value).unwrap_or_else(|| {
            self.add_fault(key, format_args!("must be {expected}"));
            placeholder()
        })
    }

    pub(super) fn read_integer<T: TryFrom<i64> + Default>(
        &mut self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> T {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read_value(key, expected, T::default, |value| {
            let number = value.as_integer().filter(|number| range.contains(number))?;
            T::try_from(number).ok()
        })
    }

    pub(super) fn read_nonzero(&mut self, key: &str, range: RangeInclusive<i64>) -> NonZeroU32 {
        NonZeroU32::new(self.read_integer(key, range)).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn read_seconds(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.read_integer(key, range))
    }

    pub(super) fn read_hours(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.read_integer::<u64>(key, range) * 3600)
    }

    pub(super) fn read_days(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.read_integer::<u64>(key, range) * 24 * 3600)
    }

    pub(super) fn read_boolean(&mut self, key: &str) -> bool {
        self.read_value(key, "true or false", bool::default, Value::as_bool)
    }

    pub(super) fn read_text(&mut self, key: &str) -> &'a str {
        self.read_value(
            key,
            "a text that is not empty",
            || "",
            |value| value.as_str().filter(|text| !text.is_empty()),
        )
    }

    pub(super) fn read_address(&mut self, key: &str) -> SocketAddr {
        let placeholder = || SocketAddr::from(([0; 4], 0));
        self.read_value(
            key,
            "an address and port such as 0.0.0.0:8080",
            placeholder,
            |value| value.as_str()?.parse().ok(),
        )
    }

    pub(super) fn read_log_format(&mut self, key: &str) -> LogFormat {
        self.read_value(
            key,
            "text or json",
            || LogFormat::Text,
            |value| match value.as_str()? {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            },
        )
    }

    pub(super) fn read_log_level(&mut self, key: &str) -> String {
        self.read_value(key, "a log filter such as info", String::new, |value| {
            let text = value
                .as_str()
                .filter(|text| EnvFilter::try_new(text).is_ok())?;
            Some(text.to_owned())
        })
    }

    /// Returns none for an empty text, which selects the embedded store.
    pub(super) fn read_database_url(&mut self, key: &str) -> Option<SecretString> {
        self.read_url(key, ["postgres://", "postgresql://"])
    }

    /// Returns none for an empty text, which keeps records with the attempts.
    pub(super) fn read_mongodb_url(&mut self, key: &str) -> Option<SecretString> {
        self.read_url(key, ["mongodb://", "mongodb+srv://"])
    }

    /// Returns none for an empty text, which makes this the only node.
    pub(super) fn read_redis_url(&mut self, key: &str) -> Option<RedisAddress> {
        let text = self.read_optional_text(key)?;
        RedisAddress::parse(text)
            .map_err(|bad| self.add_fault(key, format_args!("must be an address of Redis: {bad}")))
            .ok()
    }

    fn read_url(&mut self, key: &str, schemes: [&str; 2]) -> Option<SecretString> {
        let expected = format!("empty or begin with {}", schemes[0]);
        self.read_value(
            key,
            expected,
            || None,
            |value| match value.as_str()? {
                "" => Some(None),
                url if schemes.iter().any(|scheme| url.starts_with(scheme)) => {
                    Some(Some(url.into()))
                }
                _ => None,
            },
        )
    }

    /// Returns a text, or none for an empty one.
    pub(super) fn read_optional_text(&mut self, key: &str) -> Option<&'a str> {
        let text = self.read_value(key, "a text", || "", Value::as_str);
        Some(text).filter(|text| !text.is_empty())
    }

    /// Returns a folder, or a bucket with its endpoint, region and credentials.
    pub(super) fn read_evidence_place(&mut self) -> EvidenceLocation {
        let url = self.read_text("evidence.url");
        let Some(path) = url.strip_prefix("s3://") else {
            if url.contains("://") {
                self.add_fault("evidence.url", "must be a folder or begin with s3://");
            }
            return EvidenceLocation::Folder(url.into());
        };
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            self.add_fault("evidence.url", "must name a bucket, as s3://bucket/prefix");
        }
        let endpoint = self.read_optional_text("evidence.endpoint");
        if endpoint.is_some_and(|endpoint| WebOrigin::parse(endpoint).is_none()) {
            let expected = "must be empty, or as https://host:port";
            self.add_fault("evidence.endpoint", expected);
        }
        let region = self.read_text("evidence.region").to_owned();
        let credentials = match (
            self.read_optional_text("evidence.access_key"),
            self.read_optional_text("evidence.secret_key"),
        ) {
            (Some(access_key), Some(secret_key)) => Some(S3Credentials {
                access_key: access_key.to_owned(),
                secret_key: secret_key.into(),
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let both = "and `evidence.secret_key` must be set together, or neither";
                self.add_fault("evidence.access_key", both);
                None
            }
        };
        EvidenceLocation::S3(S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region,
            credentials,
        })
    }

    pub(super) fn read_origins(&mut self, key: &str) -> Vec<WebOrigin> {
        self.read_list(
            key,
            "an origin such as https://exam.example",
            WebOrigin::parse,
        )
    }

    pub(super) fn read_networks(&mut self, key: &str) -> Vec<IpNet> {
        self.read_list(key, "a network such as 10.0.0.0/8", |text| {
            text.parse().ok()
        })
    }

    /// Skips empty entries, so that an empty variable is an empty list.
    fn read_list<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let values = self.read_value(
            key,
            "a list",
            || &[][..],
            |value| value.as_array().map(Vec::as_slice),
        );
        let mut list = Vec::new();
        for value in values.iter().filter(|value| value.as_str() != Some("")) {
            match value.as_str().and_then(&read) {
                Some(entry) => list.push(entry),
                None => self.add_fault(key, format_args!("lists {value}, which is not {expected}")),
            }
        }
        list
    }
}
