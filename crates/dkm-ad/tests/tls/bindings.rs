//! The sign-in is bound to the server's certificate: a server that checks it finds what OpenSSL calculates.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use dkm_ad::Limits;
use libgssapi::context::CtxFlags;

use super::acceptor::{SignedIn, sign_in};
use super::authority::{Authority, Certificate, EC, ED25519, RSA};
use super::server::{at, refusal, serve, tls};
use super::stage::{Stage, Test};
use super::support::SERVER_KEYS;

pub(crate) const TESTS: &[Test] = &[
    ("servers_find_the_binding_to_their_certificate", servers_find_the_binding_to_their_certificate),
    ("whoever_ends_tls_in_between_is_found_out", whoever_ends_tls_in_between_is_found_out),
    ("kerberos_adds_no_layer_in_tls", kerberos_adds_no_layer_in_tls),
    ("certificates_without_a_binding_are_refused", certificates_without_a_binding_are_refused),
];

/// `GSS_C_CHANNEL_BOUND_FLAG`, which the binding of the library does not name.
const CHANNEL_BOUND: u32 = 0x800;

/// The name of the server that the tests play.
const HOST: &str = "played.dkm.test";

/// Has Kerberos know the played server, once.
fn play(stage: &Stage) -> Result<()> {
    static PLAYED: Mutex<bool> = Mutex::new(false);
    let mut played = PLAYED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*played {
        let account = stage.account("svc-played")?;
        stage.with(|domain| {
            let (dn, service) = (&account.dn, format!("ldap/{HOST}"));
            let name =
                format!("dn: {dn}\nchangetype: modify\nadd: servicePrincipalName\nservicePrincipalName: ");
            domain.modify_ldif(&format!("{name}{service}\n"))?;
            let keys = std::env::var_os(SERVER_KEYS).context("no place for keys")?;
            std::fs::copy(domain.keytab(&account)?, keys)?;
            Ok(())
        })?;
        *played = true;
    }
    Ok(())
}

/// What a server that shows a certificate, expects this binding and offers these layers makes of a client; and what the
/// client says.
fn meet(
    stage: &Stage,
    authority: &Authority,
    shown: Certificate,
    expected: Vec<u8>,
    layers: u8,
) -> Result<(Result<SignedIn>, String)> {
    play(stage)?;
    let server = serve(move |stream| sign_in(&mut tls(stream, &shown)?, &expected, layers))?;
    let repository = at(stage, HOST, server.address, Some(authority), Limits::default())?;
    // The server hangs up when it knows all.
    let complaint = refusal(&repository)?;
    Ok((server.end(), complaint))
}

fn servers_find_the_binding_to_their_certificate(stage: &Stage) -> Result<()> {
    let pss = ["-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
    let signed: [(&[&str], &[&str], &str); 6] = [
        (EC, &["-sha256"], "-sha256"),
        (EC, &["-sha384"], "-sha384"),
        (RSA, &["-sha256"], "-sha256"),
        (RSA, &["-sha384"], "-sha384"),
        (RSA, &["-sha512"], "-sha512"),
        (RSA, &pss, "-sha384"),
    ];
    for (key, signing, digest) in signed {
        let authority = Authority::new(key)?;
        let certificate = authority.certificate(HOST, signing)?;
        let expected = certificate.binding(digest)?;
        let (met, complaint) = meet(stage, &authority, certificate, expected, 1)?;
        let met = met.with_context(|| format!("{key:?} {signing:?}: {complaint}"))?;
        // It signed in, and the server went away then.
        ensure!(complaint.contains("the directory's root"), "{complaint}");
        ensure!(met.choice == [1, 0, 0, 0], "{met:?}");
        ensure!(met.flags.contains(CtxFlags::GSS_C_MUTUAL_FLAG), "{met:?}");
        // The server's own library says that client and server are bound to the same channel.
        ensure!(met.flags.bits() & CHANNEL_BOUND != 0, "{met:?}");
    }
    Ok(())
}

/// The one in between has a certificate that is good for the server's name, and hands the tokens of Kerberos on: the
/// server behind expects the binding to its own certificate.
fn whoever_ends_tls_in_between_is_found_out(stage: &Stage) -> Result<()> {
    let authority = Authority::new(EC)?;
    let own = authority.certificate(HOST, &["-sha256"])?.binding("-sha256")?;
    let shown = authority.certificate(HOST, &["-sha256"])?;
    let (met, complaint) = meet(stage, &authority, shown, own, 1)?;
    let refused = met.map(drop).unwrap_err().to_string();
    ensure!(refused.contains("channel bindings"), "{refused}");
    ensure!(complaint.contains(HOST) && complaint.contains("LDAP result 49"), "{complaint}");
    Ok(())
}

fn kerberos_adds_no_layer_in_tls(stage: &Stage) -> Result<()> {
    let authority = Authority::new(EC)?;
    let certificate = authority.certificate(HOST, &["-sha256"])?;
    let expected = certificate.binding("-sha256")?;
    // The server wants it sealed.
    let (met, complaint) = meet(stage, &authority, certificate, expected, 4)?;
    met.map(drop).unwrap_err();
    ensure!(complaint.contains("within TLS") && complaint.contains("without tls=yes"), "{complaint}");
    Ok(())
}

fn certificates_without_a_binding_are_refused(stage: &Stage) -> Result<()> {
    let authority = Authority::new(ED25519)?;
    let certificate = authority.certificate(HOST, &[])?;
    let (met, complaint) = meet(stage, &authority, certificate, Vec::new(), 1)?;
    met.map(drop).unwrap_err();
    ensure!(complaint.contains("no channel binding") && complaint.contains("RSA or ECDSA"), "{complaint}");
    Ok(())
}
