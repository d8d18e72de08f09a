//! Reads typed values out of the merged settings and collects what is wrong.
//!
//! A value that is wrong becomes a fault and some placeholder: nobody sees the
//! placeholder, because settings with faults are refused as a whole.

use std::{fmt, net::SocketAddr, num::NonZeroU32, ops::RangeInclusive, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use super::LogFormat;
use crate::{
    cluster::redis::Address,
    evidence::{Credentials, Place, S3},
    web::origin::Origin,
};

pub(super) struct Reader<'a> {
    effective: &'a Table,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(effective: &'a Table) -> Self {
        Self {
            effective,
            faults: Vec::new(),
        }
    }

    pub(super) fn faults(self) -> Vec<String> {
        self.faults
    }

    /// Every key must be one of the defaults, which are complete.
    pub(super) fn refuse_unknown(&mut self, defaults: &Table) {
        for (section, values) in self.effective {
            match (defaults.get(section).and_then(Value::as_table), values) {
                (None, _) => self.fault(section, "there is no such setting"),
                (Some(known), Value::Table(values)) => {
                    for key in values.keys().filter(|&key| !known.contains_key(key)) {
                        self.fault(&format!("{section}.{key}"), "there is no such setting");
                    }
                }
                (Some(_), _) => self.fault(section, "is a section of settings"),
            }
        }
    }

    fn fault(&mut self, key: &str, what: impl fmt::Display) {
        self.faults.push(format!("{key}: {what}"));
    }

    /// None only where the whole section is no section, which is a fault already.
    fn value(&self, key: &str) -> Option<&'a Value> {
        let (section, key) = key.split_once('.').expect("a key has a section");
        self.effective.get(section)?.get(key)
    }

    /// What `read` makes of the value; a fault where it makes nothing of it.
    fn read<T>(
        &mut self,
        key: &str,
        expected: impl fmt::Display,
        placeholder: impl FnOnce() -> T,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> T {
        let Some(value) = self.value(key) else {
            return placeholder();
        };
        read(value).unwrap_or_else(|| {
            self.fault(key, format_args!("must be {expected}"));
            placeholder()
        })
    }

    pub(super) fn integer<T: TryFrom<i64> + Default>(
        &mut self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> T {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, expected, T::default, |value| {
            let number = value.as_integer().filter(|number| range.contains(number))?;
            T::try_from(number).ok()
        })
    }

    pub(super) fn nonzero(&mut self, key: &str, range: RangeInclusive<i64>) -> NonZeroU32 {
        NonZeroU32::new(self.integer(key, range)).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn seconds(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.integer(key, range))
    }

    pub(super) fn hours(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.integer::<u64>(key, range) * 3600)
    }

    pub(super) fn days(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.integer::<u64>(key, range) * 24 * 3600)
    }

    pub(super) fn boolean(&mut self, key: &str) -> bool {
        self.read(key, "true or false", bool::default, Value::as_bool)
    }

    pub(super) fn text(&mut self, key: &str) -> &'a str {
        self.read(
            key,
            "a text that is not empty",
            || "",
            |value| value.as_str().filter(|text| !text.is_empty()),
        )
    }

    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        let placeholder = || SocketAddr::from(([0; 4], 0));
        self.read(
            key,
            "an address and port such as 0.0.0.0:8080",
            placeholder,
            |value| value.as_str()?.parse().ok(),
        )
    }

    pub(super) fn log_format(&mut self, key: &str) -> LogFormat {
        self.read(
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

    pub(super) fn log_level(&mut self, key: &str) -> String {
        self.read(key, "a log filter such as info", String::new, |value| {
            let text = value
                .as_str()
                .filter(|text| EnvFilter::try_new(text).is_ok())?;
            Some(text.to_owned())
        })
    }

    /// None where it is empty, which means the embedded store.
    pub(super) fn database_url(&mut self, key: &str) -> Option<SecretString> {
        self.url(key, ["postgres://", "postgresql://"])
    }

    /// None where it is empty, which means that records stay with the attempts.
    pub(super) fn mongodb_url(&mut self, key: &str) -> Option<SecretString> {
        self.url(key, ["mongodb://", "mongodb+srv://"])
    }

    /// None where it is empty, which means that this node is alone.
    pub(super) fn redis_url(&mut self, key: &str) -> Option<Address> {
        let text = self.optional(key)?;
        Address::parse(text)
            .map_err(|bad| self.fault(key, format_args!("must be an address of Redis: {bad}")))
            .ok()
    }

    fn url(&mut self, key: &str, schemes: [&str; 2]) -> Option<SecretString> {
        let expected = format!("empty or begin with {}", schemes[0]);
        self.read(
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

    /// A text; none where it is empty.
    pub(super) fn optional(&mut self, key: &str) -> Option<&'a str> {
        let text = self.read(key, "a text", || "", Value::as_str);
        Some(text).filter(|text| !text.is_empty())
    }

    /// A folder, or a bucket with everything that belongs to it.
    pub(super) fn evidence_place(&mut self) -> Place {
        let url = self.text("evidence.url");
        let Some(path) = url.strip_prefix("s3://") else {
            if url.contains("://") {
                self.fault("evidence.url", "must be a folder or begin with s3://");
            }
            return Place::Folder(url.into());
        };
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            self.fault("evidence.url", "must name a bucket, as s3://bucket/prefix");
        }
        let endpoint = self.optional("evidence.endpoint");
        if endpoint.is_some_and(|endpoint| Origin::parse(endpoint).is_none()) {
            let expected = "must be empty, or as https://host:port";
            self.fault("evidence.endpoint", expected);
        }
        let region = self.text("evidence.region").to_owned();
        let credentials = match (
            self.optional("evidence.access_key"),
            self.optional("evidence.secret_key"),
        ) {
            (Some(access_key), Some(secret_key)) => Some(Credentials {
                access_key: access_key.to_owned(),
                secret_key: secret_key.into(),
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let both = "is needed with evidence.secret_key, and the other way round";
                self.fault("evidence.access_key", both);
                None
            }
        };
        Place::S3(S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region,
            credentials,
        })
    }

    pub(super) fn origins(&mut self, key: &str) -> Vec<Origin> {
        self.list(key, "an origin such as https://exam.example", Origin::parse)
    }

    pub(super) fn networks(&mut self, key: &str) -> Vec<IpNet> {
        self.list(key, "a network such as 10.0.0.0/8", |text| {
            text.parse().ok()
        })
    }

    /// Empty entries are skipped: an empty variable is an empty list.
    fn list<T>(&mut self, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let values = self.read(
            key,
            "a list",
            || &[][..],
            |value| value.as_array().map(Vec::as_slice),
        );
        let mut list = Vec::new();
        for value in values.iter().filter(|value| value.as_str() != Some("")) {
            match value.as_str().and_then(&read) {
                Some(entry) => list.push(entry),
                None => self.fault(key, format_args!("{value} is not {expected}")),
            }
        }
        list
    }
}
