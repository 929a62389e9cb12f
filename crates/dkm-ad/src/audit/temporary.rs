//! Who was let in for a time: the members of the group of temporary accounts.

use std::collections::BTreeMap;

use dkm::repository::RepositoryError;
use dkm_core::GroupId;

use super::directory::Object;
use super::expand::{Leaf, StopAt};
use super::judge::Judge;
use super::kind::PathKind;
use super::objects::Layout;
use super::report::Class;
use crate::elevation::Mark;
use crate::name::parent;
use crate::security::Sid;

/// What whoever is in that group is to the group of keys.
#[derive(Debug, Default)]
pub(super) struct LetIn(BTreeMap<Sid, (Class, String)>);

impl LetIn {
    /// What somebody among the readers is, if it is there by that group.
    pub(super) fn get(&self, leaf: &Leaf) -> Option<(Class, String)> {
        self.0.get(leaf.who.sid.as_ref()?).cloned()
    }
}

/// Looks at the group of temporary accounts: an account that an elevator made there, and that can't sign in, is what it
/// says; anybody else has no business there, whatever else he may be.
pub(super) fn let_in(
    judge: &mut Judge<'_, '_>,
    layout: &Layout,
    group: GroupId,
) -> Result<LetIn, RepositoryError> {
    judge.expect_elevators(&layout.trustees.elevators);
    judge.is_elevators_part(PathKind::D, &layout.keys.dn);
    let mut let_in = LetIn::default();
    let Some(elevated) = layout.trustees.elevated else { return Ok(let_in) };
    let expansion = judge.expand(elevated, StopAt::Crowds)?;
    let Some(object) = expansion.groups.first() else {
        let what = format!("who is in the group of temporary accounts {elevated}");
        judge.draft.unchecked(PathKind::A, what, "this account does not see it");
        return Ok(let_in);
    };
    judge.is_elevators_part(PathKind::E, &object.dn);
    let (name, container) = (object.principal().name, judge.directory.temporary_dn());
    for leaf in &expansion.leaves {
        let is_direct = leaf.through == [name.as_str()];
        let account = leaf.object.as_ref().filter(|object| is_direct && is_in(object, &container));
        let mark = account.and_then(|account| Mark::read(account.description.first()?));
        let is = match (account, mark.filter(|mark| mark.group == group)) {
            (Some(account), Some(mark)) if account.is_disabled() => {
                // These are its elevators' alone: others with rights on it are told as with any member.
                for kind in [PathKind::F, PathKind::G, PathKind::H] {
                    judge.is_elevators_part(kind, &account.dn);
                }
                (Class::Temporary, told(mark))
            }
            (Some(_), Some(mark)) => {
                let what = format!("is a temporary account that can sign in, of grant {}", mark.request);
                (
                    Class::Unexpected,
                    format!("{what}: it is being made this moment, or was left half-made, or is misused"),
                )
            }
            _ => {
                let what =
                    "is in the group of temporary accounts and none that an elevator made for this group";
                (Class::Unexpected, format!("{what}: it reads every key"))
            }
        };
        if let Some(sid) = leaf.who.sid {
            let_in.0.insert(sid, is);
        }
    }
    Ok(let_in)
}

fn is_in(object: &Object, container: &str) -> bool {
    object.class.eq_ignore_ascii_case("user")
        && parent(&object.dn).is_some_and(|dn| dn.eq_ignore_ascii_case(container))
}

fn told(mark: Mark) -> String {
    let until = mark.until_for_people();
    format!("reads every key until {until}, by tickets that were given out under grant {}", mark.request)
}
