//! How often one name and one address may try.
//!
//! A whole school behind one address is normal, so what succeeds is never
//! counted against an address; only failures are, and new sockets very
//! generously. Failures are counted in [`failures`]: a token bucket would forget
//! them one by one, but a locked name must stay locked for the whole window.

mod failures;

use std::{net::IpAddr, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use self::failures::Failures;
use super::problem::Problem;
use crate::config;

/// The limits of a node, shared by log-ins and sockets.
#[derive(Debug)]
pub struct Limits {
    names: Failures<String>,
    addresses: Failures<IpAddr>,
    hellos: Failures<IpAddr>,
    sockets: DefaultKeyedRateLimiter<IpAddr>,
}

impl Limits {
    /// With these settings.
    pub fn new(login: &config::Login, limits: &config::Limits) -> Self {
        let sockets =
            Quota::per_second(limits.connections_per_second).allow_burst(limits.connections_burst);
        Self {
            names: Failures::new(login.failures_per_name, login.window),
            addresses: Failures::new(login.failures_per_address, login.window),
            hellos: Failures::new(limits.failed_hellos_per_address, login.window),
            sockets: RateLimiter::keyed(sockets),
        }
    }

    /// Begins a log-in. It counts as failed until [`LoginAttempt::forgive`], so
    /// that tries at the same time are counted too.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] while the name or the address is locked; the
    /// right code is refused then as well.
    pub fn begin_login(&self, name: &str, address: IpAddr) -> Result<LoginAttempt<'_>, Problem> {
        let address = network(address);
        self.addresses
            .check(&address)
            .map_err(Problem::RateLimited)?;
        self.names
            .add(name.to_owned())
            .map_err(Problem::RateLimited)?;
        Ok(LoginAttempt {
            limits: self,
            name: name.to_owned(),
            address,
        })
    }

    /// Counts a new socket.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] where the address opens too many, or too many
    /// of its sockets failed to sign in.
    pub fn new_socket(&self, address: IpAddr) -> Result<(), Problem> {
        let address = network(address);
        self.hellos.check(&address).map_err(Problem::RateLimited)?;
        self.sockets
            .check_key(&address)
            .map_err(|_not_until| Problem::RateLimited(Duration::from_secs(1)))
    }

    /// Counts a socket that did not show a valid token.
    pub fn hello_failed(&self, address: IpAddr) {
        // Whether it is locked by this one shows at its next socket.
        self.hellos.add(network(address)).ok();
    }

    /// Forgets what no longer counts. To be called every few minutes: neither
    /// kind of limiter gives memory back by itself.
    pub fn sweep(&self) {
        self.names.sweep();
        self.addresses.sweep();
        self.hellos.sweep();
        self.sockets.retain_recent();
        self.sockets.shrink_to_fit();
    }
}

/// A log-in whose outcome is not known yet.
#[must_use = "a log-in that is not ended counts for its name alone"]
pub struct LoginAttempt<'a> {
    limits: &'a Limits,
    name: String,
    address: IpAddr,
}

impl LoginAttempt<'_> {
    /// The code was right, or nothing could be said about it.
    pub fn forgive(self) {
        self.limits.names.take_back(&self.name);
    }

    /// The code was wrong.
    pub fn fail(self) {
        // Whether it is locked by this one shows at the next try.
        self.limits.addresses.add(self.address).ok();
    }
}

/// What counts as one address: IPv6 hosts have a whole /64 to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SCHOOL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn limits() -> Limits {
        let config = Config::from_layers(None, Some([].into())).unwrap();
        Limits::new(&config.login, &config.limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_locked_after_ten_failures_for_five_minutes() {
        let limits = limits();
        for _ in 0..10 {
            limits.begin_login("ann", SCHOOL).unwrap().fail();
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let refused = limits.begin_login("ann", SCHOOL).err();
        assert_eq!(
            refused,
            Some(Problem::RateLimited(Duration::from_secs(200)))
        );
        limits.begin_login("bob", SCHOOL).unwrap().forgive();
        tokio::time::advance(Duration::from_secs(200)).await;
        limits.begin_login("ann", SCHOOL).unwrap().forgive();
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_locked_after_three_hundred_failures() {
        let limits = limits();
        for name in 0..300 {
            limits
                .begin_login(&name.to_string(), SCHOOL)
                .unwrap()
                .fail();
        }
        assert!(limits.begin_login("ann", SCHOOL).is_err());
        assert!(
            limits
                .begin_login("ann", "192.0.2.2".parse().unwrap())
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_succeeds_is_not_counted() {
        let limits = limits();
        for _ in 0..1000 {
            limits.begin_login("ann", SCHOOL).unwrap().forgive();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tries_at_the_same_time_are_counted() {
        let limits = limits();
        let open: Vec<_> = (0..10)
            .map(|_| limits.begin_login("ann", SCHOOL).unwrap())
            .collect();
        assert!(limits.begin_login("ann", SCHOOL).is_err());
        open.into_iter().for_each(LoginAttempt::forgive);
        assert!(limits.begin_login("ann", SCHOOL).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn sockets_that_fail_to_sign_in_lock_their_address() {
        let limits = limits();
        for _ in 0..1000 {
            limits.new_socket(SCHOOL).unwrap();
            limits.hello_failed(SCHOOL);
        }
        assert!(limits.new_socket(SCHOOL).is_err());
        assert!(limits.new_socket("192.0.2.2".parse().unwrap()).is_ok());
        tokio::time::advance(Duration::from_mins(5)).await;
        limits.sweep();
        assert!(limits.new_socket(SCHOOL).is_ok());
    }

    #[test]
    fn hosts_of_one_ipv6_network_are_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
