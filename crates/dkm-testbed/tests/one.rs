//! A domain with one controller.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use common::{ldapsearch, text};
use dkm_testbed::{Domain, Options, Scope};

/// The shortest request that LDAP knows, version 3.
const ANONYMOUS_BIND: &[u8] = &[0x30, 12, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];

#[test]
fn a_member_of_the_group_reads_and_others_do_not_until_the_account_is_disabled() {
    let Some(domain) = Domain::start_or_skip(&Options::default()).unwrap() else { return };
    let readers = domain.add_group("readers").unwrap();
    let member = domain.add_user("svc-a").unwrap();
    let outsider = domain.add_user("svc-b").unwrap();
    domain.add_member(&readers, &member.dn).unwrap();
    let dn = format!("CN=room,{}", domain.base());
    domain
        .modify_ldif(&format!(
            "dn: {dn}\nobjectClass: container\ndescription: for readers\n\
             nTSecurityDescriptor: O:SYG:DAD:PAI(A;;GA;;;SY)(A;;RPRCLCLO;;;{})\n",
            readers.sid
        ))
        .unwrap();
    assert!(domain.descriptor(&dn).unwrap().contains(&format!(";;;{})", readers.sid)));

    let cache = domain.ccache(&member, Some(200)).unwrap();
    let read = ldapsearch(&domain, &domain, &cache, &dn);
    assert!(text(&read).contains("description: for readers"), "{read:?}");
    let others = domain.ccache(&outsider, None).unwrap();
    // Everybody may list the domain's head, so that there is a room is no secret.
    let empty = format!("dn: {dn}\n\n");
    assert_eq!(text(&ldapsearch(&domain, &domain, &others, &dn)), empty);

    domain.disable(&member).unwrap();
    let error = domain.ccache(&member, None).unwrap_err().to_string();
    assert!(error.contains("revoked"), "{error}");
    domain.enable(&member).unwrap();
    domain.remove_member(&readers, &member.dn).unwrap();
    let fresh = domain.ccache(&member, None).unwrap();
    assert_eq!(text(&ldapsearch(&domain, &domain, &fresh, &dn)), empty);
}

#[test]
fn the_administrator_changes_everything() {
    let Some(domain) =
        Domain::start_or_skip(&Options { realm: "OTHER.TEST".to_owned(), ..Options::default() }).unwrap()
    else {
        return;
    };
    let base = domain.base().to_owned();
    assert_eq!(base, "DC=other,DC=test");

    // A new password makes old keys useless.
    let mut account = domain.add_user("svc-a").unwrap();
    domain.ccache(&account, None).unwrap();
    domain.set_password(&mut account, "Another-password-1").unwrap();
    domain.ccache(&account, None).unwrap_err();
    domain.keytab(&account).unwrap();
    domain.ccache(&account, None).unwrap();

    // A primary group does not list its members.
    let group = domain.add_group("primary").unwrap();
    domain.set_primary_group(&account, &group).unwrap_err();
    domain.add_member(&group, &account.dn).unwrap();
    domain.set_primary_group(&account, &group).unwrap();
    let found = domain.search(&group.dn, Scope::Base, "(objectClass=group)", &["member"]).unwrap();
    assert_eq!(found[0].text("member"), None);

    // Many accounts at once, and none if one can't be made.
    let names: Vec<String> = (0..100).map(|i| format!("bulk-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(domain.add_users(&names).unwrap().len(), 100);
    domain.add_users(&["fresh", "bulk-7"]).unwrap_err();
    assert_eq!(domain.search(&base, Scope::Sub, "(sAMAccountName=fresh)", &[]).unwrap(), []);

    // Objects come, change, move and go.
    let unit = format!("OU=unit,{base}");
    domain.add_ou(&unit).unwrap();
    let ldif = format!(
        "dn: CN=a,{unit}\nobjectClass: contact\nthumbnailPhoto:: AAEC\n\ndn: CN=a,{unit}\nchangetype: add\n"
    );
    domain.modify_ldif(&ldif).unwrap_err();
    assert_eq!(domain.search(&unit, Scope::One, "(objectClass=*)", &[]).unwrap(), [], "all or nothing");
    domain.modify_ldif(&format!("dn: CN=a,{unit}\nobjectClass: contact\nthumbnailPhoto:: AAEC\n")).unwrap();
    domain.rename(&format!("CN=a,{unit}"), &format!("CN=b,{unit}")).unwrap();
    let found = domain.search(&unit, Scope::One, "(objectClass=*)", &["thumbnailPhoto"]).unwrap();
    assert_eq!(found[0].dn, format!("CN=b,{unit}"));
    assert_eq!(found[0].attributes["thumbnailPhoto"], [[0, 1, 2]]);
    domain.delete(&unit).unwrap_err();
    domain.delete_tree(&unit).unwrap();
    let deleted = domain
        .search_with(&base, Scope::Sub, "(&(isDeleted=TRUE)(cn=b*))", &["isDeleted"], &["show_deleted:1"])
        .unwrap();
    assert_eq!(deleted.len(), 1);

    // Descriptors, and Samba's codec of them.
    domain.set_descriptor(&group.dn, "O:DAG:DAD:P(A;;GA;;;SY)").unwrap();
    assert!(domain.descriptor(&group.dn).unwrap().starts_with("O:DAG:DAD:P"));
    let binary = domain.sddl_to_binary("O:SYG:SYD:P(A;;RC;;;AU)").unwrap();
    assert_eq!(domain.binary_to_sddl(&binary).unwrap(), "O:SYG:SYD:P(A;;RC;;;AU)");
}

#[test]
fn ldaps_is_trusted_and_the_server_stops_freezes_and_returns() {
    let Some(domain) = Domain::start_or_skip(&Options::default()).unwrap() else { return };
    let account = domain.add_user("svc-a").unwrap();
    let password = domain.folder().join("password");
    fs::write(&password, &account.password).unwrap();
    let bind = |url: &str, authority: bool| {
        let mut search = Command::new("ldapsearch");
        search.envs(domain.env());
        if !authority {
            search.env("LDAPTLS_CACERT", "/dev/null");
        }
        search.args(["-x", "-s", "base", "-o", "nettimeout=1", "-H", url, "-D", &account.principal, "-y"]);
        search.arg(&password).args(["-b", domain.base(), "objectClass"]).output().unwrap()
    };
    assert!(bind(&domain.ldaps_url(), true).status.success());
    assert!(!bind(&domain.ldaps_url(), false).status.success(), "the certificate is checked");
    assert_eq!(bind(&domain.ldap_url(), true).status.code(), Some(8), "a password without TLS is refused");

    domain.stop().unwrap();
    assert!(!domain.runs());
    domain.ccache(&account, None).unwrap_err();
    domain.restart().unwrap();
    domain.ccache(&account, None).unwrap();
    // A frozen server keeps its connections and answers nothing, until it goes on.
    let mut connection = TcpStream::connect((domain.address(), 389)).unwrap();
    domain.freeze().unwrap();
    assert!(domain.runs());
    connection.write_all(ANONYMOUS_BIND).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    connection.read(&mut [0; 64]).unwrap_err();
    domain.thaw().unwrap();
    connection.set_read_timeout(None).unwrap();
    assert!(connection.read(&mut [0; 64]).unwrap() > 0);
    domain.kill();
    assert!(!domain.runs());
    domain.restart().unwrap();
    assert!(bind(&domain.ldaps_url(), true).status.success());
    assert!(fs::read_to_string(domain.authentication_log()).unwrap().contains("svc-a"));
}
