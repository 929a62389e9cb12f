//! What can be asked of the server: one action for each kind of right. What the audit log calls it stands here too.

use std::fmt;

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Action {
    Start,
    Stop,
    Recover,
    CheckHealth,
    CertificateRefused,
    TicketRefused,
    BindAccount,
    Enrol,
    RenewCertificate,
    WhoAmI,
    ReadMetadata,
    ReadKey,
    CreateGroup,
    AddKey,
    ManageLifecycle,
    ManagePolicy,
    EraseKey,
    ListPrincipals,
    ManagePrincipals,
    ManageDirectory,
    ReadRequests,
    Request,
    Submit,
    Approve,
    Withdraw,
    Activate,
    Revoke,
    Review,
    EndAccess,
    Unprotect,
    IssueCredentials,
    Expose,
    IssueTickets,
    EndTickets,
    ReadAudit,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 35] = [
        Self::Start,
        Self::Stop,
        Self::Recover,
        Self::CheckHealth,
        Self::CertificateRefused,
        Self::TicketRefused,
        Self::BindAccount,
        Self::Enrol,
        Self::RenewCertificate,
        Self::WhoAmI,
        Self::ReadMetadata,
        Self::ReadKey,
        Self::CreateGroup,
        Self::AddKey,
        Self::ManageLifecycle,
        Self::ManagePolicy,
        Self::EraseKey,
        Self::ListPrincipals,
        Self::ManagePrincipals,
        Self::ManageDirectory,
        Self::ReadRequests,
        Self::Request,
        Self::Submit,
        Self::Approve,
        Self::Withdraw,
        Self::Activate,
        Self::Revoke,
        Self::Review,
        Self::EndAccess,
        Self::Unprotect,
        Self::IssueCredentials,
        Self::Expose,
        Self::IssueTickets,
        Self::EndTickets,
        Self::ReadAudit,
    ];

    /// The action's name in the audit log, which stays the same in all versions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Recover => "recover",
            Self::CheckHealth => "check-health",
            Self::CertificateRefused => "certificate-refused",
            Self::TicketRefused => "ticket-refused",
            Self::BindAccount => "bind-account",
            Self::Enrol => "enrol",
            Self::RenewCertificate => "renew-certificate",
            Self::WhoAmI => "who-am-i",
            Self::ReadMetadata => "read-metadata",
            Self::ReadKey => "read-key",
            Self::CreateGroup => "create-group",
            Self::AddKey => "add-key",
            Self::ManageLifecycle => "manage-lifecycle",
            Self::ManagePolicy => "manage-policy",
            Self::EraseKey => "erase-key",
            Self::ListPrincipals => "list-principals",
            Self::ManagePrincipals => "manage-principals",
            Self::ManageDirectory => "manage-directory",
            Self::ReadRequests => "read-requests",
            Self::Request => "elevation-request",
            Self::Submit => "elevation-submit",
            Self::Approve => "elevation-answer",
            Self::Withdraw => "elevation-withdraw",
            Self::Activate => "elevation-activate",
            Self::Revoke => "elevation-revoke",
            Self::Review => "elevation-review",
            Self::EndAccess => "elevation-end",
            Self::Unprotect => "unprotect",
            Self::IssueCredentials => "issue-credentials",
            Self::Expose => "expose",
            Self::IssueTickets => "issue-tickets",
            Self::EndTickets => "end-tickets",
            Self::ReadAudit => "read-audit",
        }
    }

    /// Whether it changes the database, so that one without it is older than its log.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(
            self,
            Self::Enrol
                | Self::BindAccount
                | Self::RenewCertificate
                | Self::CreateGroup
                | Self::AddKey
                | Self::ManageLifecycle
                | Self::ManagePolicy
                | Self::EraseKey
                | Self::ManagePrincipals
                | Self::ManageDirectory
                | Self::IssueCredentials
        ) || self.is_elevation()
    }

    /// Whether it is a step in the life of a request for elevated access.
    #[must_use]
    pub const fn is_elevation(self) -> bool {
        matches!(
            self,
            Self::Request
                | Self::Submit
                | Self::Approve
                | Self::Withdraw
                | Self::Activate
                | Self::Revoke
                | Self::Review
                | Self::EndAccess
                | Self::Unprotect
        )
    }

    /// Whether it changes who may do what.
    #[must_use]
    pub const fn changes_access(self) -> bool {
        matches!(self, Self::CreateGroup | Self::BindAccount | Self::ManagePrincipals | Self::ManageDirectory)
    }

    /// The action that the audit log calls so.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Action> for dkm_audit::entry::Action {
    #[allow(
        clippy::expect_used,
        reason = "every name is of the alphabet that the log demands; a test looks at each"
    )]
    fn from(action: Action) -> Self {
        action.as_str().parse().expect("a valid action")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_the_log_and_reads_back() {
        for action in Action::ALL {
            assert_eq!(dkm_audit::entry::Action::from(action).as_str(), action.as_str());
            assert_eq!(Action::named(action.as_str()), Some(action));
        }
    }
}
