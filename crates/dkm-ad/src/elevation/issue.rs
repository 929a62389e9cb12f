//! Letting somebody in: the account, its membership, its tickets, and the end of the account. In this order, so that a
//! process that is killed in between leaves nothing that anybody could use.

use std::ops::ControlFlow;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm_core::{GroupId, RequestId, Timestamp};
use zeroize::Zeroizing;

use super::mark::Mark;
use super::session::{ENABLED, Group, SHUT, Session};
use super::tickets::{self, Realm};
use super::{ElevationError, LEAST_MS, PREFIX, Step, Tickets, folder, sweep};
use crate::ldap::Search;
use crate::replica::encoded;
use crate::repository::AdRepository;
use crate::security::Sid;

/// Between 1601, where the directory's times begin, and 1970, in units of 100 ns (MS-DTYP §2.3.3).
const FILETIME_EPOCH: u64 = 116_444_736_000_000_000;

type After<'a> = &'a mut dyn FnMut(Step) -> ControlFlow<()>;

/// A random password that only this process knows.
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn new() -> Result<Self, ElevationError> {
        let mut random = Zeroizing::new([0u8; 64]);
        getrandom::fill(random.as_mut_slice()).map_err(|error| no_randomness(&error))?;
        // Of 88 letters and digits at random there are some of each kind that a domain may ask for.
        Ok(Self(Zeroizing::new(STANDARD.encode(random.as_slice()))))
    }

    /// As the directory takes it: quoted, in UTF-16 (MS-ADTS §3.1.1.3.1.5.1).
    pub(super) fn for_the_directory(&self) -> Vec<u8> {
        let quoted = ['"'].into_iter().chain(self.0.chars()).chain(['"']);
        let mut bytes = Vec::with_capacity(2 * (self.0.len() + 2));
        for unit in quoted {
            // Only ASCII is in it.
            bytes.extend_from_slice(&[u8::try_from(unit).unwrap_or_default(), 0]);
        }
        bytes
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn no_randomness(error: &getrandom::Error) -> ElevationError {
    ElevationError::Other(format!("the system gives no randomness: {error}"))
}

/// See [`super::Elevator::issue`].
pub(super) fn issue(
    repository: &AdRepository,
    group: GroupId,
    request: RequestId,
    until: Timestamp,
    after: After<'_>,
) -> Result<Tickets, ElevationError> {
    folder::clear_leftovers();
    let until = Timestamp(until.0 / 1000 * 1000);
    let mut session = Session::open(repository)?;
    let of = session.group(group)?;
    let made = session.clock()?;
    must_be_long_enough(until, made.max(here()))?;
    let earlier = session.of_grant(group, request)?;
    if !earlier.is_empty() {
        sweep::shut_out(repository, &mut session, &of, &earlier, group)?;
    }
    let mark = Mark { group, request, until, made, is_finished: false };
    let account = NewAccount::make(&mut session, &of, mark)?;
    match account.carry_through(repository, &mut session, &of, after) {
        Err(Stopped::Failed(error)) => {
            // Whatever has come of it: without the account there are no more tickets, and those there are were not given away.
            let deleted = session.delete(&account.dn);
            let disabled = deleted.or_else(|_| session.disable(&account.dn, None));
            Err(match disabled {
                Ok(()) => error,
                Err(left) => ElevationError::Other(format!(
                    "{error}; and the account {} is left ({left}), with a password that nobody knows: sweep removes it",
                    account.name
                )),
            })
        }
        Err(Stopped::Killed) => Err(ElevationError::Other("stopped in between".to_owned())),
        Ok(tickets) => Ok(tickets),
    }
}

/// This machine's clock.
fn here() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn must_be_long_enough(until: Timestamp, now: Timestamp) -> Result<(), ElevationError> {
    let left_ms = until.since(now);
    if left_ms >= LEAST_MS {
        return Ok(());
    }
    Err(ElevationError::TooShort { left_s: left_ms / 1000, least_s: LEAST_MS / 1000 })
}

/// Why an account was not carried through.
enum Stopped {
    Failed(ElevationError),
    /// As if the process were killed: nothing is cleared away.
    Killed,
}

impl From<ElevationError> for Stopped {
    fn from(error: ElevationError) -> Self {
        Self::Failed(error)
    }
}

/// An account in the making.
struct NewAccount {
    dn: String,
    name: String,
    mark: Mark,
}

impl NewAccount {
    /// Makes it, disabled and without a password.
    fn make(session: &mut Session, of: &Group, mark: Mark) -> Result<Self, ElevationError> {
        let template = session.template(&of.trustees)?;
        let mut random = [0u8; 6];
        getrandom::fill(&mut random).map_err(|error| no_randomness(&error))?;
        let name: String = PREFIX
            .chars()
            .chain(random.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).map(char::from))
            .collect();
        let dn = format!("CN={name},{}", session.container());
        let description = mark.to_text().ok_or_else(|| {
            ElevationError::Other("the end lies beyond what a domain can write down".to_owned())
        })?;
        // A second line behind the tickets' own end: from then on the KDC gives none even if it is enabled.
        let expires = FILETIME_EPOCH.saturating_add(mark.until.0.saturating_mul(10_000));
        let text = |text: &str| vec![text.as_bytes().to_vec()];
        let values = vec![
            ("objectClass", text("user")),
            ("sAMAccountName", text(&name)),
            ("displayName", text(&format!("dkm temporary access {}", mark.request))),
            ("description", text(&description)),
            ("userAccountControl", text(&SHUT.to_string())),
            ("accountExpires", text(&expires.to_string())),
            ("showInAdvancedViewOnly", text("TRUE")),
            ("nTSecurityDescriptor", vec![encoded(&template)?]),
        ];
        let added = session.replica.connection.add(&dn, values);
        added.map_err(session.error(&format!("making the account {dn}")))?;
        Ok(Self { dn, name, mark })
    }

    fn carry_through(
        &self,
        repository: &AdRepository,
        session: &mut Session,
        of: &Group,
        after: After<'_>,
    ) -> Result<Tickets, Stopped> {
        let mut done = |step| if after(step).is_break() { Err(Stopped::Killed) } else { Ok(()) };
        done(Step::Made)?;
        session.enter(of, &self.dn)?;
        let sid = self.must_read(session, of)?;
        done(Step::Member)?;
        let password = Password::new()?;
        let enabled = session.replica.connection.replace_all(
            &self.dn,
            vec![
                ("unicodePwd", vec![password.for_the_directory()]),
                ("userAccountControl", vec![ENABLED.to_string().into_bytes()]),
            ],
        );
        enabled.map_err(session.error(&format!("enabling {}", self.dn)))?;
        done(Step::Enabled)?;
        let realm = Realm::of(repository, session.replica.number)?;
        let fetched = tickets::fetch(&realm, &self.name, &password, self.mark.until);
        drop(password);
        done(Step::Ticketed)?;
        // Before anything is said of the tickets: nothing is given away while another could be had.
        session.disable(&self.dn, Some(Mark { is_finished: true, ..self.mark }))?;
        done(Step::Disabled)?;
        let fetched = fetched?;
        Ok(Tickets {
            cache: fetched.cache,
            account: self.name.clone(),
            sid: sid.to_string(),
            until: fetched.until,
            services: fetched.services,
        })
    }

    /// The account's SID, once the domain controller counts it among the readers.
    fn must_read(&self, session: &mut Session, of: &Group) -> Result<Sid, ElevationError> {
        let search = Search::base(self.dn.as_str(), vec!["objectSid", "tokenGroups"]);
        let found = session.replica.connection.find(&search).map_err(session.error(&self.dn))?;
        let odd = |why: &str| ElevationError::Other(format!("{}: {why}", self.dn));
        let found = found.ok_or_else(|| odd("it is not seen once it is made"))?;
        let sid = found.bytes("objectSid").and_then(|sid| Sid::parse(sid).ok());
        let sid = sid.ok_or_else(|| odd("it has no SID that this account sees"))?;
        let groups: Vec<Sid> = found.values("tokenGroups").filter_map(|sid| Sid::parse(sid).ok()).collect();
        if of.trustees.all_readers().any(|readers| groups.contains(readers)) {
            return Ok(sid);
        }
        Err(ElevationError::Other(format!(
            "the group of temporary accounts {} is no member of the readers group {}: whoever manages that puts it in",
            of.elevated, of.trustees.readers
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_are_quoted_in_utf_16() {
        let (one, other) = (Password::new().unwrap(), Password::new().unwrap());
        assert!(one.as_str() != other.as_str() && one.as_str().len() == 88);
        let bytes = one.for_the_directory();
        let units: Vec<u16> = bytes.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        assert_eq!(String::from_utf16(&units).unwrap(), format!("\"{}\"", one.as_str()));
    }

    #[test]
    fn what_would_end_at_once_is_refused() {
        let now = Timestamp(1_000_000_000);
        assert!(must_be_long_enough(now.plus(LEAST_MS), now).is_ok());
        for until in [now.plus(LEAST_MS - 1), now, now.minus(1), Timestamp(0)] {
            let error = must_be_long_enough(until, now).unwrap_err();
            assert!(matches!(error, ElevationError::TooShort { .. }), "{error}");
        }
    }
}
