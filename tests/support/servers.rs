//! Addresses of the servers that tests need.
//!
//! A test without its server fails, since a check that passes unrun proves nothing.
//! `INVIGIL_SKIP=postgres,redis,mongodb` names the servers to do without; their tests
//! then say that they are skipped.

/// Returns the address of a server: `postgres`, `redis` or `mongodb`. Returns none if
/// `INVIGIL_SKIP` names it.
///
/// The address is in `INVIGIL_TEST_POSTGRES` and so on; `scripts/services.sh env` sets them.
#[expect(clippy::disallowed_methods, reason = "the settings of a test run")]
pub(crate) fn server_address(server: &str) -> Option<String> {
    let skipped = std::env::var("INVIGIL_SKIP").unwrap_or_default();
    if skipped.split(',').any(|name| name.trim() == server) {
        eprintln!("skipped: INVIGIL_SKIP names {server}");
        return None;
    }
    let variable = format!("INVIGIL_TEST_{}", server.to_uppercase());
    let address = std::env::var(&variable).ok();
    assert!(
        address.is_some(),
        "{variable} is not set: start the servers as CONTRIBUTING.md shows, \
         or set INVIGIL_SKIP={server} to do without"
    );
    address
}
