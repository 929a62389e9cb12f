//! The repository: a container in a domain, reached through its domain controllers, each of which is a replica.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dkm::repository::{Replica, Repository, RepositoryError};
use dkm_core::policy::Policy;
use dkm_core::{GroupId, ReplicaId, RepositoryId, Timestamp};

use crate::discovery::Slots;
use crate::ldap::{Connection, Found, Identity, LdapError, NO_SUCH_OBJECT, Search, Transport};
use crate::name;
use crate::patience;
use crate::replica::AdReplica;
use crate::security::{Domain, Sid};
use crate::url::{AdUrl, Controller};

/// How long a client waits for a domain controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For connecting and signing in, with what that needs of the name service and of Kerberos.
    pub connect: Duration,
    /// For one request.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), request: Duration::from_secs(20) }
    }
}

/// A repository in Active Directory. Its replicas are domain controllers, in the order of the URL or, if that names none,
/// of DNS: the first is preferred for what is added.
#[derive(Debug, Clone)]
pub struct AdRepository(Arc<Shared>);

/// What the connections of one repository have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) url: AdUrl,
    pub(crate) controllers: Arc<Slots>,
    identity: Identity,
    limits: Limits,
    remembered: Vec<Mutex<Remembered>>,
}

/// What is remembered of a domain controller: nothing that it holds, only what to ask and what to expect.
#[derive(Debug, Default)]
struct Remembered {
    /// The object that describes the domain controller, asked together with all else next time.
    settings: Option<String>,
    /// Its database, when it was last connected to.
    replica: Option<ReplicaId>,
    /// Groups that this account has read, and in which database. If such a group is not seen there any more, that is a
    /// decision.
    seen: BTreeSet<(ReplicaId, GroupId)>,
    /// A connection that nobody uses, and what was said on it.
    idle: Option<(Connection, Greeting)>,
}

impl AdRepository {
    /// The repository behind a URL. Nothing is connected to yet, but DNS is asked for the domain controllers if the URL
    /// names none.
    ///
    /// # Errors
    /// [`RepositoryError::Unavailable`] if DNS names none that answers.
    pub fn open(url: AdUrl, identity: Option<Identity>, limits: Limits) -> Result<Self, RepositoryError> {
        let controllers = if url.controllers.is_empty() {
            crate::discovery::controllers(&url)
                .map_err(|why| RepositoryError::Unavailable { location: url.to_string(), why })?
        } else {
            url.controllers.clone()
        };
        let identity = identity
            .unwrap_or_else(|| url.principal.clone().map_or(Identity::Environment, Identity::Principal));
        let remembered = controllers.iter().map(|_| Mutex::default()).collect();
        let controllers = Slots::new(controllers);
        Ok(Self(Arc::new(Shared { url, controllers, identity, limits, remembered })))
    }

    /// The URL that it was opened with.
    #[must_use]
    pub fn location(&self) -> &AdUrl {
        &self.0.url
    }

    /// The domain controllers that it uses at present, by the numbers of their replicas.
    #[must_use]
    pub fn controllers(&self) -> Vec<Controller> {
        self.0.controllers.all()
    }

    /// A signed-in connection to a domain controller, for what is no replica's business.
    pub(crate) fn raw(&self, number: usize) -> Result<Connection, RepositoryError> {
        self.0.sign_in(number)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Repository for AdRepository {
    fn url(&self) -> String {
        self.0.url.to_string()
    }

    fn default_policy(&self) -> Policy {
        Policy::for_active_directory()
    }

    fn replicas(&self) -> usize {
        self.0.remembered.len()
    }

    fn connect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        Ok(Box::new(self.0.connect(replica)?))
    }

    fn reconnect(&self, replica: usize) -> Result<Box<dyn Replica>, RepositoryError> {
        Ok(Box::new(match self.0.take_idle(replica) {
            Some((connection, greeting)) => {
                AdReplica::new(self.0.clone(), replica, connection, greeting).used_before()
            }
            None => self.0.connect(replica)?,
        }))
    }
}

/// What a domain controller says of itself and of the account.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) repository: RepositoryId,
    pub(crate) replica: ReplicaId,
    pub(crate) account: Sid,
    /// The account and every group it is in, as the domain controller decides with them.
    pub(crate) token: BTreeSet<Sid>,
    pub(crate) domain: Domain,
    /// The time it told, and when that was here.
    pub(crate) clock: (Timestamp, Instant),
    /// The highest update sequence number that it had given away by then; 0 if it does not tell.
    pub(crate) usn: u64,
}

/// What came of one search.
type Answer = Result<Vec<Found>, LdapError>;

/// What every connection asks of the root of the directory, RFC 4512 §5.1 and MS-ADTS §3.1.1.3.2.
pub(crate) fn root() -> Search {
    Search::base(
        "",
        vec!["dsServiceName", "defaultNamingContext", "currentTime", "tokenGroups", "highestCommittedUSN"],
    )
}

impl Shared {
    /// Where an error happened, for people.
    pub(crate) fn place(&self, number: usize) -> String {
        let host = self.controllers.get(number).map_or_else(|| "?".to_owned(), |controller| controller.host);
        format!("ad://{} (domain controller {host})", self.url.domain)
    }

    fn remembered(&self, number: usize) -> Option<std::sync::MutexGuard<'_, Remembered>> {
        let remembered = self.remembered.get(number)?;
        Some(remembered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that this account reads a group there.
    pub(crate) fn has_seen(&self, number: usize, replica: ReplicaId, group: GroupId) {
        if let Some(mut remembered) = self.remembered(number) {
            remembered.seen.insert((replica, group));
        }
    }

    /// What it means that a group is not seen: to an account that has read it there, the domain controller denies it.
    pub(crate) fn unseen(&self, number: usize, replica: ReplicaId, group: GroupId) -> RepositoryError {
        let (location, what) = (self.place(number), format!("group {group}"));
        if self.remembered(number).is_some_and(|remembered| remembered.seen.contains(&(replica, group))) {
            RepositoryError::Denied { location, what }
        } else {
            RepositoryError::NotFound { location, what }
        }
    }

    /// An error of a domain controller, in a repository's words.
    pub(crate) fn error(&self, number: usize, what: &str, error: &LdapError) -> RepositoryError {
        let location = self.place(number);
        match error.code() {
            Some(NO_SUCH_OBJECT) => RepositoryError::NotFound { location, what: what.to_owned() },
            Some(crate::ldap::INSUFFICIENT_ACCESS) => {
                RepositoryError::Denied { location, what: what.to_owned() }
            }
            _ => RepositoryError::Unavailable { location, why: format!("{what}: {error}") },
        }
    }

    fn sign_in(self: &Arc<Self>, number: usize) -> Result<Connection, RepositoryError> {
        let mut controller = self.controllers.get(number).ok_or_else(|| RepositoryError::NotARepository {
            location: self.url.to_string(),
            why: format!("it has no replica {number}"),
        })?;
        let (identity, limits) = (self.identity.clone(), self.limits);
        let transport = self.url.transport.clone();
        // Whom the URL names is trusted to be a domain controller. Whom DNS names has to be one.
        let domain = self.url.controllers.is_empty().then(|| self.url.domain.clone());
        if domain.is_some() && transport != Transport::Kerberos {
            // DNS tells of LDAP alone; LDAPS is on its own port of the same hosts.
            controller.port = self.url.port();
        }
        let signed_in = patience::within(limits.connect, move || {
            let addresses = controller.addresses()?;
            let (host, domain, connect) = (&controller.host, domain.as_deref(), limits.connect);
            Connection::open(host, domain, &addresses, &transport, &identity, connect, limits.request)
                .map_err(|error| error.to_string())
        })
        .and_then(|signed_in| signed_in);
        match signed_in {
            Ok(connection) => {
                self.controllers.works(number);
                Ok(connection)
            }
            Err(why) => {
                let location = self.place(number);
                self.controllers.fails(number, &self.url);
                Err(RepositoryError::Unavailable { location, why })
            }
        }
    }

    /// What is left of the ticket with which this account gets others.
    pub(crate) fn ticket_left(&self) -> Result<Duration, String> {
        let identity = self.identity.clone();
        patience::within(self.limits.connect, move || {
            identity.ticket_left().map_err(|error| error.to_string())
        })
        .and_then(|left| left)
    }

    fn take_idle(&self, number: usize) -> Option<(Connection, Greeting)> {
        self.remembered(number)?.idle.take()
    }

    /// Keeps a connection for the next reading.
    pub(crate) fn keep_idle(&self, number: usize, connection: Connection, greeting: Greeting) {
        if connection.is_idle()
            && let Some(mut remembered) = self.remembered(number)
        {
            remembered.idle = Some((connection, greeting));
        }
    }

    pub(crate) fn connect(self: &Arc<Self>, number: usize) -> Result<AdReplica, RepositoryError> {
        let mut connection = self.sign_in(number)?;
        let (greeting, _) = self.greet(number, &mut connection, None)?;
        Ok(AdReplica::new(self.clone(), number, connection, greeting))
    }

    /// Learns the ids of the repository and of the replica, in one round trip when the domain controller is known, and
    /// what another search finds that may be asked together with it.
    pub(crate) fn greet(
        &self,
        number: usize,
        connection: &mut Connection,
        besides: Option<Search>,
    ) -> Result<(Greeting, Option<Answer>), RepositoryError> {
        let guess = self.remembered(number).and_then(|remembered| remembered.settings.clone());
        let settings = |dn: String| Search::base(dn, vec!["invocationId", "objectClass"]);
        let mut searches = vec![
            root(),
            Search::base(self.url.container_dn(), vec!["objectGUID"]),
            Search::base(self.url.domain_dn(), vec!["objectSid"]),
        ];
        searches.extend(guess.clone().map(settings));
        let asked_besides = besides.is_some();
        searches.extend(besides);
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: LdapError| self.error(number, &what, &error)
        };
        let mut answers =
            connection.search_all(&searches).map_err(failed("the directory's root"))?.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Ok(Vec::new()));
        let root = next().map_err(failed("the directory's root"))?.into_iter().next();
        let root = root.ok_or_else(|| self.odd(number, "it does not describe itself"))?;
        let at = Instant::now();
        let container = next();
        let domain = next().map_err(failed("the domain"))?.into_iter().next();
        let naming = root.text("defaultNamingContext").unwrap_or_default();
        if !naming.eq_ignore_ascii_case(&self.url.domain_dn()) {
            return Err(self.odd(number, &format!("it serves {naming:?}, not {:?}", self.url.domain_dn())));
        }
        let service = root.text("dsServiceName").unwrap_or_default().to_owned();
        let described = match guess {
            Some(guess) if guess == service => next(),
            Some(_) => {
                let _ = next();
                connection.search(&settings(service.clone()))
            }
            None => connection.search(&settings(service.clone())),
        };
        let besides = asked_besides.then(&mut next);
        let described = described
            .map_err(failed("the domain controller's own settings"))?
            .into_iter()
            .next()
            .ok_or_else(|| self.odd(number, "its settings object is not to be seen"))?;
        if described.values("objectClass").any(|class| class.eq_ignore_ascii_case(b"nTDSDSARO")) {
            let why = "it is a read-only domain controller, which never counts as a replica".to_owned();
            return Err(RepositoryError::Unavailable { location: self.place(number), why });
        }
        let container = match container {
            Ok(found) => found.into_iter().next(),
            Err(error) if error.code() == Some(NO_SUCH_OBJECT) => None,
            Err(error) => return Err(self.error(number, "the container", &error)),
        };
        let dn = self.url.container_dn();
        let container = container.ok_or_else(|| RepositoryError::NotARepository {
            location: self.place(number),
            why: format!("{dn} is not there, or this account may not see it"),
        })?;
        let account = root
            .bytes("tokenGroups")
            .and_then(|sid| Sid::parse(sid).ok())
            .ok_or_else(|| self.odd(number, "it does not say who this account is"))?;
        let domain = domain
            .and_then(|domain| domain.bytes("objectSid").and_then(|sid| Sid::parse(sid).ok()))
            .ok_or_else(|| self.odd(number, "it does not tell the domain's SID"))?;
        let now = root.text("currentTime").and_then(name::timestamp);
        let greeting = Greeting {
            domain: Domain::single(domain),
            usn: root.text("highestCommittedUSN").and_then(|usn| usn.parse().ok()).unwrap_or(0),
            clock: (now.ok_or_else(|| self.odd(number, "it does not tell the time"))?, at),
            repository: RepositoryId(self.guid(number, &container, "objectGUID")?),
            replica: ReplicaId(self.guid(number, &described, "invocationId")?),
            account,
            token: root.values("tokenGroups").filter_map(|sid| Sid::parse(sid).ok()).collect(),
        };
        if let Some(mut remembered) = self.remembered(number) {
            if remembered.replica.is_some_and(|replica| replica != greeting.replica) {
                // Installed anew or restored under its name: what the account saw before was another database.
                *remembered = Remembered::default();
            }
            remembered.replica = Some(greeting.replica);
            remembered.settings = Some(service);
        }
        Ok((greeting, besides))
    }

    fn guid(&self, number: usize, found: &Found, name: &str) -> Result<[u8; 16], RepositoryError> {
        found
            .bytes(name)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| self.odd(number, &format!("{} has no {name}", found.dn)))
    }

    /// A domain controller that is not as any is.
    pub(crate) fn odd(&self, number: usize, why: &str) -> RepositoryError {
        RepositoryError::Unavailable { location: self.place(number), why: why.to_owned() }
    }
}
