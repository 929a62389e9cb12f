//! The configuration files of a domain, and its certificates.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::controller::Controller;
use crate::domain::Options;
use crate::process::{self, command};

/// A domain controller's folders, in its own folder.
const FOLDERS: &[(&str, &str)] = &[
    ("private dir", "private"),
    ("state directory", "state"),
    ("cache directory", "cache"),
    ("lock directory", "lock"),
    ("pid directory", "pid"),
    ("binddns dir", "bind-dns"),
    ("ncalrpc dir", "ncalrpc"),
    ("winbindd socket directory", "winbindd"),
    ("ntp signd socket directory", "ntp_signd"),
];

/// What a provision may know: nothing of the system's own smb.conf.
pub(crate) fn base_conf(folder: &Path) -> String {
    let mut text = "[global]\n  interfaces = 127.0.0.1/8\n  bind interfaces only = yes\n".to_owned();
    for (name, own) in FOLDERS {
        text += &format!("  {name} = {}\n", folder.join(own).display());
    }
    text
}

/// What every program of a controller reads.
pub(crate) fn tool_conf(folder: &Path, options: &Options, host: &str, interface: &str) -> Result<String> {
    let mut text = format!(
        "[global]\n  netbios name = {host}\n  realm = {}\n  workgroup = {}\n  \
         server role = active directory domain controller\n  interfaces = {interface}\n  \
         bind interfaces only = yes\n  server services = ldap, cldap, kdc, drepl, rpc, winbindd{}{}\n",
        options.realm,
        options.workgroup(),
        if options.second.is_some() { ", kcc" } else { "" },
        if options.dns { ", dns\n  dns forwarder =" } else { "" },
    );
    for (name, own) in FOLDERS {
        let path = folder.join(own);
        fs::create_dir_all(&path)?;
        text += &format!("  {name} = {}\n", path.display());
    }
    Ok(text)
}

/// What the server reads besides. The tools must not: they would write the audit log to their standard output.
pub(crate) fn server_conf(folder: &Path, options: &Options) -> String {
    let folder = folder.display();
    let strong = if options.sasl_inside_tls { "allow_sasl_over_tls" } else { "yes" };
    format!(
        "  log file = {folder}/samba.log\n  max log size = 0\n  \
         log level = 1 dsdb_json_audit:5@{folder}/audit.json auth_json_audit:4@{folder}/auth.json \
         dsdb_group_json_audit:5@{folder}/groups.json\n  \
         ldap server require strong auth = {strong}\n  dreplsrv:notify_interval = 1\n"
    )
}

/// The names that a controller knows: itself, the other, and what replication calls them.
pub(crate) fn hosts(
    options: &Options,
    controllers: &[Controller],
    settings: &BTreeMap<String, String>,
) -> String {
    let domain = options.domain();
    let mut text = "127.0.0.1 localhost\n".to_owned();
    for controller in controllers {
        let (ip, host) = (controller.address(), controller.host());
        text += &format!("{ip} {} {host}\n", controller.fqdn());
        if let Some(guid) = settings.get(host) {
            text += &format!("{ip} {guid}._msdcs.{domain}\n");
        }
    }
    text
}

/// Kerberos for the clients of a domain: no name service, no guesses.
pub(crate) fn krb5_conf(realm: &str, kdcs: &[Ipv4Addr]) -> String {
    let kdcs: String = kdcs.iter().map(|ip| format!("    kdc = {ip}\n")).collect();
    let domain = realm.to_lowercase();
    format!(
        "[libdefaults]\n  default_realm = {realm}\n  dns_lookup_kdc = false\n  dns_lookup_realm = false\n  \
         dns_canonicalize_hostname = false\n  rdns = false\n  udp_preference_limit = 1\n\
         [realms]\n  {realm} = {{\n{kdcs}  }}\n[domain_realm]\n  .{domain} = {realm}\n  {domain} = {realm}\n"
    )
}

/// OpenLDAP's programs: our authority's certificates, and no name service.
pub(crate) fn ldap_conf(authority: &Path) -> String {
    format!("TLS_CACERT {}\nTLS_REQCERT demand\nSASL_NOCANON on\n", authority.display())
}

/// An authority of the domain's own: `ca.pem`, `ca.key`.
pub(crate) fn make_authority(folder: &Path) -> Result<()> {
    process::run(
        command("openssl")
            .current_dir(folder)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args([
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
                "-days",
                "2",
                "-subj",
                "/CN=DKM testbed authority",
            ]),
    )?;
    Ok(())
}

/// A controller's certificate where Samba looks for it, valid for its name and its address.
pub(crate) fn make_certificate(authority: &Path, tls: &Path, fqdn: &str, ip: Ipv4Addr) -> Result<()> {
    fs::create_dir_all(tls)?;
    fs::copy(authority.join("ca.pem"), tls.join("ca.pem"))?;
    process::run(
        command("openssl")
            .current_dir(tls)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-CA"])
            .arg(authority.join("ca.pem"))
            .arg("-CAkey")
            .arg(authority.join("ca.key"))
            .args(["-subj", &format!("/CN={fqdn}")])
            .args(["-addext", &format!("subjectAltName=DNS:{fqdn},IP:{ip}")])
            .args([
                "-addext",
                "basicConstraints=critical,CA:false",
                "-addext",
                "extendedKeyUsage=serverAuth",
            ]),
    )?;
    Ok(())
}
