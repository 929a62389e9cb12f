//! Certificates that the server has not given out, or that mean nothing any more.

use std::fs;

use dkm_remote::Directory;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::daemon::Daemon;
use crate::plain::showing;

const WHOAMI: &str = "GET /v1/whoami";

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A certificate as the server makes them, for somebody else's account, but for what is changed about it.
fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "service:mail");
    params.subject_alt_names.push(SanType::URI("dkm:service:mail".try_into().unwrap()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::hours(1);
    change(&mut params);
    params
}

/// The client that shows what `issuer` has signed.
fn client(daemon: &Daemon, issuer: &Issuer<'_, KeyPair>, params: &CertificateParams) -> ClientConfig {
    let key = key();
    let signed = params.signed_by(&key, issuer).unwrap();
    shown(daemon, signed.der().clone(), &key)
}

fn shown(daemon: &Daemon, certificate: CertificateDer<'static>, key: &KeyPair) -> ClientConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    showing(&daemon.data().join("authority.pem"), vec![certificate], key)
}

#[test]
fn a_certificate_that_the_server_has_not_given_out_lets_nobody_in() {
    let daemon = Daemon::start();
    drop(daemon.enrolled("service:mail"));
    assert_eq!(daemon.ask("service:mail", WHOAMI, "").status, 200);
    let pem = fs::read_to_string(daemon.data().join("authority.pem")).unwrap();
    let secret = fs::read_to_string(daemon.data().join("authority.key")).unwrap();
    // As it would be if somebody had stolen the authority's key: the server knows its certificates one by one.
    let ours = Issuer::from_ca_cert_pem(&pem, KeyPair::from_pem(&secret).unwrap()).unwrap();
    let stolen = client(&daemon, &ours, &params(|_| ()));
    assert_eq!(daemon.status(stolen, WHOAMI).unwrap(), 401);

    // Another authority of the same name, as that of a staging instance that was made from the same configuration.
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let name = parsed.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    let alike = params(|p| {
        p.distinguished_name.push(DnType::CommonName, name);
        p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        p.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    let other_key = key();
    let other = alike.self_signed(&other_key).unwrap();
    let other = Issuer::from_ca_cert_der(other.der(), other_key).unwrap();
    let staging = Daemon::start();
    drop(staging.enrolled("service:mail"));
    let theirs = staging.credentials("service:mail").join("identity.pem");
    let chain = CertificateDer::pem_file_iter(&theirs).unwrap().map(Result::unwrap).collect();
    let theirs = PrivateKeyDer::from_pem_file(theirs).unwrap();
    let own_key = key();
    let own = params(|_| ()).self_signed(&own_key).unwrap();
    let now = OffsetDateTime::now_utc();
    let refused = [
        ("foreign", client(&daemon, &other, &params(|_| ()))),
        ("staging", showing(&daemon.data().join("authority.pem"), chain, theirs)),
        ("self-signed", shown(&daemon, own.der().clone(), &own_key)),
        ("ended", client(&daemon, &ours, &params(|p| p.not_after = now - Duration::minutes(1)))),
        ("not begun", client(&daemon, &ours, &params(|p| p.not_before = now + Duration::minutes(30)))),
        (
            "for servers",
            client(
                &daemon,
                &ours,
                &params(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            ),
        ),
    ];
    for (name, config) in refused {
        let answer = daemon.status(config, WHOAMI);
        assert!(answer.is_err(), "{name}: {answer:?}");
    }
    assert_eq!(daemon.ask("service:mail", WHOAMI, "").status, 200);
}

#[test]
fn a_certificate_whose_account_was_disabled_is_refused_on_the_connection_it_has() {
    let daemon = Daemon::start();
    let directory = Directory::of(daemon.enrolled("service:mail"));
    directory.who_am_i().unwrap();
    daemon.directory().disable_principal("service:mail").unwrap();
    assert!(directory.who_am_i().is_err());
    assert_eq!(daemon.ask("service:mail", WHOAMI, "").status, 401);
}
