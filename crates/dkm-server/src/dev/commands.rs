//! What to try with a server that was made for it.

use super::cast::{APPROVERS, AUDITOR, BLOB, CONTEXT, GROUP, REQUESTER, SERVICE, Stage};

/// Commands as they are typed, each on one line that begins with two spaces. They work while the server runs.
pub(super) fn text(stage: &Stage<'_>) -> String {
    let at = |name: &str| stage.at(name).display().to_string();
    let dkm = |who: &str| format!("dkm --repository '{}'", stage.url(who));
    let admin = format!("dkm --repository {}", stage.socket());
    let (service, requester, auditor) = (dkm(SERVICE), dkm(REQUESTER), dkm(AUDITOR));
    let (blob, log_key) = (at(BLOB), &stage.log_key);
    let context = format!("{}={}", CONTEXT.0, CONTEXT.1);
    let approvals: String = APPROVERS
        .iter()
        .map(|(name, level)| {
            let key = stage.at("keys").join(name).display().to_string();
            format!("  {} elevate approve REQUEST --level {level} --key {key}\n", dkm(name))
        })
        .collect();
    format!(
        "\
As the service, which is a member of the group {GROUP}:
  {service} whoami
  {service} key list -g {GROUP}
  {service} unprotect -g {GROUP} -c {context} {blob}

As the administrator, which is whoever this server runs as:
  {admin} principal list
  {admin} directory list

As {REQUESTER}, who is let in only after {} and {} have approved (REQUEST is what the first command shows):
  {requester} whoami
  {requester} elevate request -g {GROUP} --reason 'a customer asks' --duration 1h --context {context}
{approvals}  {requester} elevate activate REQUEST
  {requester} elevate run REQUEST -- unprotect -c {context} {blob}

As {AUDITOR}, who reads the audit log:
  {auditor} audit verify --key {log_key}
  {auditor} audit tail --verify --key {log_key}
  {auditor} audit search --key {log_key} --what read-key
",
        APPROVERS[0].0, APPROVERS[1].0,
    )
}
