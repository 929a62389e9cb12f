//! Principals and directory groups: whom a server knows.

use dkm::repository::RepositoryError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Method;

use crate::http::{Answer, Body, escaped};
use crate::problem;
use crate::repository::{RemoteRepository, is_success, parsed};
use crate::wire::{
    BODY_LEN_MAX, DirectoryGroup, DirectoryGroups, NewDirectoryGroup, NewPrincipal, PrincipalView,
    Principals, Token, WhoAmI,
};

/// Longest list that is taken, in bytes.
const LIST_LEN_MAX: usize = 64 * 1024 * 1024;

/// The principals and directory groups of a repository's first server, under their whole names: `service:NAME`,
/// `person:NAME`, `group:NAME`. All but [`Directory::who_am_i`] are for its
/// administrators.
#[derive(Debug, Clone)]
pub struct Directory(RemoteRepository);

impl Directory {
    /// Those of this repository.
    #[must_use]
    pub const fn of(repository: RemoteRepository) -> Self {
        Self(repository)
    }

    /// As whom this account is authenticated.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] if the server does not know it, [`RepositoryError::Unavailable`].
    pub fn who_am_i(&self) -> Result<WhoAmI, RepositoryError> {
        self.get("who this account is", "/v1/whoami")
    }

    /// All principals, sorted.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] to who is no administrator, [`RepositoryError::Unavailable`].
    pub fn principals(&self) -> Result<Vec<PrincipalView>, RepositoryError> {
        self.get("the principals", "/v1/principals").map(|all: Principals| all.principals)
    }

    /// Makes a principal, or changes all of one but its kind.
    ///
    /// # Errors
    /// As [`Directory::principals`]; [`RepositoryError::Invalid`] for a name or a change that can't be.
    pub fn add_principal(&self, name: &str, new: &NewPrincipal) -> Result<(), RepositoryError> {
        self.put(&format!("account {name}"), &format!("/v1/principals/{}", escaped(name)), new)
    }

    /// A one-time token with which a principal enrols.
    ///
    /// # Errors
    /// As [`Directory::principals`]; [`RepositoryError::NotFound`] for a principal that is not there.
    pub fn token(&self, name: &str) -> Result<Token, RepositoryError> {
        let what = format!("a token for {name}");
        let path = format!("/v1/principals/{}/token", escaped(name));
        let (location, answer) = self.call(&what, Method::POST, &path, Body::None)?;
        parsed(&location, &what, &answer)
    }

    /// Disables a principal: its certificates end.
    ///
    /// # Errors
    /// As [`Directory::token`].
    pub fn disable_principal(&self, name: &str) -> Result<(), RepositoryError> {
        let path = format!("/v1/principals/{}", escaped(name));
        self.call(&format!("account {name}"), Method::DELETE, &path, Body::None).map(drop)
    }

    /// All directory groups, sorted.
    ///
    /// # Errors
    /// As [`Directory::principals`].
    pub fn groups(&self) -> Result<Vec<DirectoryGroup>, RepositoryError> {
        self.get("the directory groups", "/v1/directory-groups").map(|all: DirectoryGroups| all.groups)
    }

    /// Makes a directory group.
    ///
    /// # Errors
    /// As [`Directory::add_principal`].
    pub fn add_group(&self, name: &str, new: NewDirectoryGroup) -> Result<(), RepositoryError> {
        self.put(name, &format!("/v1/directory-groups/{}", escaped(name)), &new)
    }

    /// Takes a principal or directory group into a directory group.
    ///
    /// # Errors
    /// As [`Directory::token`]; [`RepositoryError::Invalid`] for a member that would not fit or make a circle.
    pub fn add_member(&self, group: &str, member: &str) -> Result<(), RepositoryError> {
        self.member(Method::PUT, group, member)
    }

    /// Takes a member out of a directory group.
    ///
    /// # Errors
    /// As [`Directory::token`].
    pub fn remove_member(&self, group: &str, member: &str) -> Result<(), RepositoryError> {
        self.member(Method::DELETE, group, member)
    }

    fn member(&self, method: Method, group: &str, member: &str) -> Result<(), RepositoryError> {
        let path = format!("/v1/directory-groups/{}/members/{}", escaped(group), escaped(member));
        self.call(&format!("member {member} of {group}"), method, &path, Body::None).map(drop)
    }

    fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, RepositoryError> {
        let (location, answer) = self.call(what, Method::GET, path, Body::None)?;
        parsed(&location, what, &answer)
    }

    fn put(&self, what: &str, path: &str, body: &impl Serialize) -> Result<(), RepositoryError> {
        let body = serde_json::to_vec(body).map_err(|error| RepositoryError::Invalid(error.to_string()))?;
        self.call(what, Method::PUT, path, Body::Json(&body)).map(drop)
    }

    /// Sends a request to the first server, and takes its answer of success.
    fn call(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<(String, Answer), RepositoryError> {
        let limit = if method == Method::GET { LIST_LEN_MAX } else { BODY_LEN_MAX };
        let (location, answer) = self.0.shared().ask_first(what, method, path, body, limit)?;
        if is_success(&answer) {
            Ok((location, answer))
        } else {
            Err(problem::error(&location, what, &answer))
        }
    }
}
