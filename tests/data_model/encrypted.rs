//! The connection to PostgreSQL over TLS: proved, or refused.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
};

use invigil_store_sql::postgres::PostgresStore;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use sqlx::{Connection, PgConnection};

use crate::{
    own_postgres,
    servers::server_address,
    session::{run, value},
};

/// An authority that vouches for servers.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key()).unwrap()
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// Writes a file that the server alone may read.
fn write_for_server(data: &Path, name: &str, text: &str) {
    let file = data.join(name);
    fs::write(&file, text).unwrap();
    let owner = fs::metadata(data).unwrap();
    chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_server_proves_who_it_is() {
    if server_address("postgres").is_none() {
        return;
    }
    let (server, url) = own_postgres::Postgres::create().await;
    let data = server.dir().join("data");
    let (ours, another) = (authority(), authority());
    let server_key = key();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&server_key, &ours).unwrap();
    write_for_server(&data, "server.crt", &certificate.pem());
    write_for_server(&data, "server.key", &server_key.serialize_pem());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        run(&mut connection, statement).await;
    }
    connection.close().await.unwrap();

    let trusted = tempfile::tempdir().unwrap();
    let address = |name: &str, issuer: &CertifiedIssuer<'_, KeyPair>| {
        let file = trusted.path().join(name);
        fs::write(&file, issuer.pem()).unwrap();
        format!("{url}?sslmode=verify-full&sslrootcert={}", file.display())
    };
    let (right, wrong) = (address("ours.pem", &ours), address("another.pem", &another));
    PostgresStore::migrate(&right).await.unwrap();
    PostgresStore::connect(&right, 1).await.unwrap();
    let mut connection = PgConnection::connect(&right).await.unwrap();
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(value(&mut connection, encrypted).await, "true");
    let refused = PostgresStore::connect(&wrong, 1).await.unwrap_err();
    let why = invigil_telemetry::error_chain(&refused);
    assert!(why.contains("certificate"), "{why}");
    // A name that the certificate does not have is refused.
    let elsewhere = right.replace("127.0.0.1", "localhost");
    let refused = PostgresStore::connect(&elsewhere, 1).await.unwrap_err();
    let why = invigil_telemetry::error_chain(&refused);
    assert!(why.contains("certificate"), "{why}");
}
