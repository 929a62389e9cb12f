//! What domain controllers themselves say of how far they have come with each other. It shows that they replicate; it
//! is no measurement, and never taken for one.

use super::dc::Dc;
use super::metadata::{Cursor, cursors};
use super::report::{Area, Draft};

/// Tells, for each pair, whether one has all that the other had written when it was asked.
pub(super) fn tell(dcs: &mut [&mut Dc], draft: &mut Draft) {
    if dcs.len() < 2 {
        return;
    }
    let sources: Vec<(String, Option<[u8; 16]>, u64)> =
        dcs.iter().map(|dc| (dc.host.clone(), dc.invocation, dc.usn)).collect();
    for dc in dcs.iter_mut() {
        match known(dc) {
            Ok(known) => {
                for (host, invocation, usn) in &sources {
                    let Some(invocation) = invocation.filter(|id| Some(*id) != dc.invocation) else {
                        continue;
                    };
                    compare(
                        dc,
                        host,
                        known.iter().find(|cursor| cursor.invocation == invocation),
                        *usn,
                        draft,
                    );
                }
            }
            Err(why) => draft.not_checked(
                Area::Convergence,
                &format!("what {} says of its partners", dc.host),
                why,
                "the probe tells more",
            ),
        }
    }
}

fn known(dc: &mut Dc) -> Result<Vec<Cursor>, String> {
    let head = dc.domain_dn.clone();
    let found = dc.object(head, vec!["replUpToDateVector"])?;
    let bytes = found.as_ref().and_then(|found| found.bytes("replUpToDateVector"));
    let bytes = bytes.ok_or("it keeps no replUpToDateVector, or this account may not read it")?;
    cursors(bytes).ok_or_else(|| "its replUpToDateVector is of an unknown form".to_owned())
}

fn compare(dc: &Dc, host: &str, cursor: Option<&Cursor>, usn: u64, draft: &mut Draft) {
    let here = &dc.host;
    let Some(cursor) = cursor else {
        let what = format!("{here} has no word of {host} in its list of partners");
        draft.note(Area::Convergence, what, "it may be new, or hear of it through others");
        return;
    };
    let when = cursor.when.zip(dc.clock).map(|(when, now)| now.since(when));
    let when = when.map_or_else(String::new, |ago| format!(", last asked {} ago", super::text::about(ago)));
    let what = if cursor.usn >= usn {
        format!("by its own word {here} had all that {host} had written{when}")
    } else {
        // Not every number is a change that is replicated.
        format!("by its own word {here} was up to {} numbers behind {host}{when}", usn - cursor.usn)
    };
    draft.note(Area::Convergence, what, "nothing: this is their word, and no measurement");
}
