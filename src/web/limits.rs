//! Limits on log-ins and sockets, by name and by address.
//!
//! A whole school behind one address is normal, so successful log-ins never count
//! against an address; only failures do, and new sockets within generous bounds.
//! [`failures`] counts failures: a token bucket would forget them one by one, but
//! a locked name must stay locked for the whole window.

mod failures;

use std::{net::IpAddr, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use self::failures::FailureLimiter;
use super::problem::Problem;
use crate::config;

/// The limits of a node, shared by log-ins and sockets.
#[derive(Debug)]
pub struct RateLimits {
    names: FailureLimiter<String>,
    addresses: FailureLimiter<IpAddr>,
    hellos: FailureLimiter<IpAddr>,
    sockets: DefaultKeyedRateLimiter<IpAddr>,
}

impl RateLimits {
    /// Returns limits with these settings.
    pub fn new(login: &config::LoginSettings, limits: &config::LimitSettings) -> Self {
        let sockets =
            Quota::per_second(limits.connections_per_second).allow_burst(limits.connections_burst);
        Self {
            names: FailureLimiter::new(login.failures_per_name, login.window),
            addresses: FailureLimiter::new(login.failures_per_address, login.window),
            hellos: FailureLimiter::new(limits.failed_hellos_per_address, login.window),
            sockets: RateLimiter::keyed(sockets),
        }
    }

    /// Begins a log-in. It counts as failed until [`PendingLogin::withdraw_failure`],
    /// so that simultaneous log-ins count too.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] while the name or the address is locked, even for
    /// the right code.
    pub fn begin_login(&self, name: &str, address: IpAddr) -> Result<PendingLogin<'_>, Problem> {
        let address = network_of(address);
        self.addresses
            .check_key(&address)
            .map_err(Problem::RateLimited)?;
        self.names
            .add_failure(name.to_owned())
            .map_err(Problem::RateLimited)?;
        Ok(PendingLogin {
            limits: self,
            name: name.to_owned(),
            address,
        })
    }

    /// Counts a new socket.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] if the address opens too many sockets, or too many
    /// of them failed to sign in.
    pub fn count_socket(&self, address: IpAddr) -> Result<(), Problem> {
        let address = network_of(address);
        self.hellos
            .check_key(&address)
            .map_err(Problem::RateLimited)?;
        self.sockets
            .check_key(&address)
            .map_err(|_not_until| Problem::RateLimited(Duration::from_secs(1)))
    }

    /// Counts a socket without a valid token.
    pub fn count_failed_hello(&self, address: IpAddr) {
        // A lock takes effect at the address's next socket.
        self.hellos.add_failure(network_of(address)).ok();
    }

    /// Removes expired entries. Call it every few minutes: neither kind of limiter
    /// frees memory by itself.
    pub fn forget_expired(&self) {
        self.names.forget_expired();
        self.addresses.forget_expired();
        self.hellos.forget_expired();
        self.sockets.retain_recent();
        self.sockets.shrink_to_fit();
    }
}

/// A log-in without an outcome yet.
#[must_use = "a log-in without an outcome counts as a failure of its name"]
pub struct PendingLogin<'a> {
    limits: &'a RateLimits,
    name: String,
    address: IpAddr,
}

impl PendingLogin<'_> {
    /// Withdraws the failure: the secret was right, or could not be checked.
    pub fn withdraw_failure(self) {
        self.limits.names.remove_failure(&self.name);
    }

    /// Counts the failure against the address too: the secret was wrong.
    pub fn confirm_failure(self) {
        // A lock takes effect at the next log-in.
        self.limits.addresses.add_failure(self.address).ok();
    }
}

/// Returns the network that counts as one address: IPv6 hosts have a whole /64.
fn network_of(address: IpAddr) -> IpAddr {
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

    fn default_limits() -> RateLimits {
        let config = Config::from_layers(None, Some([].into())).unwrap();
        RateLimits::new(&config.login, &config.limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_locked_after_ten_failures_for_five_minutes() {
        let limits = default_limits();
        for _ in 0..10 {
            limits.begin_login("ann", SCHOOL).unwrap().confirm_failure();
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let refused = limits.begin_login("ann", SCHOOL).err();
        assert_eq!(
            refused,
            Some(Problem::RateLimited(Duration::from_secs(200)))
        );
        limits
            .begin_login("bob", SCHOOL)
            .unwrap()
            .withdraw_failure();
        tokio::time::advance(Duration::from_secs(200)).await;
        limits
            .begin_login("ann", SCHOOL)
            .unwrap()
            .withdraw_failure();
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_locked_after_three_hundred_failures() {
        let limits = default_limits();
        for name in 0..300 {
            limits
                .begin_login(&name.to_string(), SCHOOL)
                .unwrap()
                .confirm_failure();
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
        let limits = default_limits();
        for _ in 0..1000 {
            limits
                .begin_login("ann", SCHOOL)
                .unwrap()
                .withdraw_failure();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tries_at_the_same_time_are_counted() {
        let limits = default_limits();
        let open: Vec<_> = (0..10)
            .map(|_| limits.begin_login("ann", SCHOOL).unwrap())
            .collect();
        assert!(limits.begin_login("ann", SCHOOL).is_err());
        open.into_iter().for_each(PendingLogin::withdraw_failure);
        assert!(limits.begin_login("ann", SCHOOL).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn sockets_that_fail_to_sign_in_lock_their_address() {
        let limits = default_limits();
        for _ in 0..1000 {
            limits.count_socket(SCHOOL).unwrap();
            limits.count_failed_hello(SCHOOL);
        }
        assert!(limits.count_socket(SCHOOL).is_err());
        assert!(limits.count_socket("192.0.2.2".parse().unwrap()).is_ok());
        tokio::time::advance(Duration::from_mins(5)).await;
        limits.forget_expired();
        assert!(limits.count_socket(SCHOOL).is_ok());
    }

    #[test]
    fn hosts_of_one_ipv6_network_are_one_address() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
