//! How long a deleted object, such as a destroyed key's, stays in the directory, and with what.

use super::dc::Dc;
use super::report::{Area, Draft};
use super::schema::services;
use crate::ldap::Search;

/// What counts where `tombstoneLifetime` is not set, in days: MS-ADTS §6.1.1.2.4.1.1.
const TOMBSTONE_DAYS: u64 = 60;

/// Reads the recycle bin and the two lifetimes. `wrapped`: whether the group's keys lie wrapped.
pub(super) fn look(dc: &mut Dc, wrapped: bool, draft: &mut Draft) {
    let services = services(dc);
    let searches = [
        Search::base(services, vec!["tombstoneLifetime", "msDS-DeletedObjectLifetime"]),
        Search::base(format!("CN=Partitions,{}", dc.configuration), vec!["msDS-EnabledFeature"]),
    ];
    let mut answers = match dc.connection.search_all(&searches) {
        Ok(answers) => {
            answers.into_iter().map(|answer| answer.ok().and_then(|found| found.into_iter().next()))
        }
        Err(error) => {
            draft.not_checked(Area::Deleted, "deleted objects", error, "run it again");
            return;
        }
    };
    let (Some(Some(settings)), Some(Some(partitions))) = (answers.next(), answers.next()) else {
        let why = "this account does not see the directory's settings";
        draft.not_checked(Area::Deleted, "how long deleted objects stay", why, "run it as another account");
        return;
    };
    let days = |name: &str| settings.text(name).and_then(|text| text.parse::<u64>().ok());
    let tombstone = days("tombstoneLifetime").unwrap_or(TOMBSTONE_DAYS);
    let is_bin = |value: &[u8]| {
        String::from_utf8_lossy(value).to_ascii_lowercase().contains("cn=recycle bin feature,")
    };
    if !partitions.values("msDS-EnabledFeature").any(is_bin) {
        let what = format!(
            "there is no recycle bin: a deleted key's object loses its bytes at once; its tombstone stays {tombstone} days"
        );
        draft.good(Area::Deleted, what);
        return;
    }
    let kept = days("msDS-DeletedObjectLifetime").unwrap_or(tombstone);
    let what = format!(
        "there is a recycle bin: a destroyed key's object stays {kept} days with its bytes, and {tombstone} without"
    );
    if wrapped {
        draft.note(
            Area::Deleted,
            what,
            "nothing: the group's keys lie wrapped, and one that is restored is erased again",
        );
    } else {
        let advice = "dkm policy set wrap=root-key: what is in the bin then opens nothing; one that is restored is \
                      erased again by clients";
        draft.warning(Area::Deleted, what, advice);
    }
}
