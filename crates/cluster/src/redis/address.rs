//! The address of Redis: one server, Sentinels that know it, or a cluster.
//!
//! `redis://[user:password@]host[:port][/db]` names a server; with `-sentinel` or
//! `-cluster` after the scheme it names the first of several. The others are given by
//! `?node=host:port`, the Sentinels' master by `sentinelServiceName`. A second `s`
//! (`rediss`) means TLS. Other clients of Redis write it the same way.

use std::fmt;

use redis::{
    ConnectionAddr, ProtocolVersion, RedisResult, TlsMode,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use url::Url;

const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// A parsed address of Redis.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisAddress {
    /// A single server.
    One(Url),
    /// Sentinels.
    Sentinels(RedisSentinels),
    /// Some nodes of a cluster.
    Cluster(Vec<Url>),
}

impl fmt::Debug for RedisAddress {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::One(_) => "One",
            Self::Sentinels(_) => "Sentinels",
            Self::Cluster(_) => "Cluster",
        })
    }
}

/// Sentinels, with the service that they are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSentinels {
    hosts: Vec<(String, u16)>,
    service: String,
    username: Option<String>,
    password: Option<String>,
    database: i64,
    tls: bool,
}

/// The reason why an address cannot be used. It repeats
/// nothing of the address, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RedisAddressError(&'static str);

impl RedisAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// Returns the reason why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, RedisAddressError> {
        let url = Url::parse(text).map_err(|_source| RedisAddressError("it is not a URL"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(RedisAddressError("it names no host"));
        }
        let (scheme, kind) = match url.scheme().split_once('-') {
            Some(parts) => parts,
            None => (url.scheme(), ""),
        };
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => {
                return Err(RedisAddressError(
                    "it does not begin with redis:// or rediss://",
                ));
            }
        };
        match kind {
            "" => {
                let mut url = url;
                if url.query().is_some() {
                    return Err(RedisAddressError(
                        "the address of one server takes no `?` part",
                    ));
                }
                url.query_pairs_mut().append_pair("protocol", "resp3");
                Ok(Self::One(url))
            }
            "sentinel" => RedisSentinels::from_url(&url, tls).map(Self::Sentinels),
            "cluster" => {
                let nodes = node_addresses(&url, PORT)?;
                let urls = nodes.iter().map(|(host, port)| {
                    let (user, password) = (url.username(), url.password().unwrap_or_default());
                    let server = format!("{scheme}://{user}:{password}@{host}:{port}");
                    Url::parse(&server)
                        .map_err(|_source| RedisAddressError("a `node` is not a host"))
                });
                urls.collect::<Result<_, _>>().map(Self::Cluster)
            }
            _ => Err(RedisAddressError(
                "after `redis` only `-sentinel` or `-cluster` may follow",
            )),
        }
    }
}

impl RedisSentinels {
    fn from_url(url: &Url, tls: bool) -> Result<Self, RedisAddressError> {
        let service = url
            .query_pairs()
            .find(|(name, _)| name == "sentinelServiceName")
            .map(|(_, service)| service.into_owned())
            .ok_or(RedisAddressError("`sentinelServiceName` is missing"))?;
        let text = |text: &str| (!text.is_empty()).then(|| percent_decode(text));
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number
                .parse()
                .map_err(|_source| RedisAddressError("the database is not a number"))?,
        };
        Ok(Self {
            hosts: node_addresses(url, SENTINEL_PORT)?,
            service,
            username: text(url.username()),
            password: url.password().and_then(text),
            database,
            tls,
        })
    }

    /// Builds a client that asks the Sentinels.
    ///
    /// # Errors
    /// Fails if the client library cannot use them.
    pub(super) fn build_client(&self) -> RedisResult<SentinelClient> {
        let hosts = self.hosts.iter().cloned().map(|(host, port)| {
            if self.tls {
                ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: false,
                    tls_params: None,
                }
            } else {
                ConnectionAddr::Tcp(host, port)
            }
        });
        let master = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(hosts, &self.service, master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(self.database);
        if self.tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(username) = &self.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password);
        }
        builder.build()
    }
}

/// Returns the host of an address, and those of its `node` parameters.
fn node_addresses(url: &Url, port: u16) -> Result<Vec<(String, u16)>, RedisAddressError> {
    let first = url.host_str().unwrap_or_default().to_owned();
    let mut nodes = vec![(first, url.port().unwrap_or(port))];
    for (name, value) in url.query_pairs() {
        match &*name {
            "node" => {
                let (host, port) = value.rsplit_once(':').unwrap_or((&value, ""));
                let port = match port {
                    "" => nodes[0].1,
                    port => port
                        .parse()
                        .map_err(|_source| RedisAddressError("a `node` has an invalid port"))?,
                };
                nodes.push((host.to_owned(), port));
            }
            "sentinelServiceName" => {}
            _ => {
                return Err(RedisAddressError(
                    "after the `?` only `node` and `sentinelServiceName` may follow",
                ));
            }
        }
    }
    Ok(nodes)
}

/// Decodes percent signs.
fn percent_decode(text: &str) -> String {
    // The encoding of queries differs in the plus sign alone.
    let query = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(text: &str) -> String {
        match RedisAddress::parse(text) {
            Ok(_) => panic!("{text} is taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_server_is_asked_for_the_newer_protocol() {
        let Ok(RedisAddress::One(url)) = RedisAddress::parse("rediss://me:pw@cache:1/3") else {
            panic!("not one server");
        };
        assert_eq!(url.as_str(), "rediss://me:pw@cache:1/3?protocol=resp3");
    }

    #[test]
    fn sentinels_know_a_master() {
        let text = "redis-sentinel://u:p%40s+s@one:1/2?node=two:7&node=three\
            &sentinelServiceName=exams";
        let expected = RedisSentinels {
            hosts: vec![
                ("one".to_owned(), 1),
                ("two".to_owned(), 7),
                ("three".to_owned(), 1),
            ],
            service: "exams".to_owned(),
            username: Some("u".to_owned()),
            password: Some("p@s+s".to_owned()),
            database: 2,
            tls: false,
        };
        assert!(RedisAddress::parse(text) == Ok(RedisAddress::Sentinels(expected.clone())));
        assert!(expected.build_client().is_ok());
    }

    #[test]
    fn a_cluster_has_nodes() {
        let text = "redis-cluster://:secret@one?node=two:7";
        let Ok(RedisAddress::Cluster(urls)) = RedisAddress::parse(text) else {
            panic!("no cluster");
        };
        let urls: Vec<_> = urls.iter().map(Url::as_str).collect();
        assert_eq!(urls, ["redis://:secret@one:6379", "redis://:secret@two:7"]);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (text, why) in [
            ("nothing", "it is not a URL"),
            (
                "http://host",
                "it does not begin with redis:// or rediss://",
            ),
            ("redis://", "it names no host"),
            (
                "redis-ring://host",
                "after `redis` only `-sentinel` or `-cluster` may follow",
            ),
            (
                "redis://host?x=1",
                "the address of one server takes no `?` part",
            ),
            ("redis-sentinel://host", "`sentinelServiceName` is missing"),
            (
                "redis-sentinel://host/x?sentinelServiceName=m",
                "the database is not a number",
            ),
            (
                "redis-cluster://host?node=a:b",
                "a `node` has an invalid port",
            ),
            (
                "redis-cluster://host?x=1",
                "after the `?` only `node` and `sentinelServiceName` may follow",
            ),
        ] {
            assert_eq!(parse_error(text), why, "{text}");
        }
    }
}
