//! Who stands in a group's descriptors, as it was written down when the group was made.
//!
//! The room `control` carries it as values of its `description`, such as `readers S-1-5-21-…`. Readers build the
//! templates of records from it; the rooms' own descriptors must equal the templates built from it, too. Nobody but
//! those who could rewrite the descriptors can change it.
//!
//! `former-readers` stands in it while a readers group is being replaced: an object may then name either group, so that
//! clients go on whichever of the objects have been changed yet.

use crate::security::{Domain, Sid, Trustees};

/// The first value: what kind of list this is.
const HEAD: &str = "dkm-access 1";

/// The values that say who has access.
pub(crate) fn to_values(trustees: &Trustees) -> Vec<Vec<u8>> {
    let mut lines = vec![HEAD.to_owned()];
    let mut push = |role: &str, sids: &[Sid]| lines.extend(sids.iter().map(|sid| format!("{role} {sid}")));
    push("readers", &[trustees.readers]);
    push("former-readers", &trustees.former);
    push("recovery", &[trustees.recovery]);
    push("creator", &trustees.creators);
    push("owner", &trustees.owners);
    push("administrator", &trustees.administrators);
    push("auditor", &trustees.auditors);
    push("elevator", &trustees.elevators);
    push("elevated", trustees.elevated.as_slice());
    lines.into_iter().map(String::into_bytes).collect()
}

/// Reads them back, in any order; none if something in them is not understood.
pub(crate) fn from_values<'a>(domain: &Domain, values: impl Iterator<Item = &'a [u8]>) -> Option<Trustees> {
    let (mut head, mut readers, mut former, mut recovery) = (false, Vec::new(), Vec::new(), Vec::new());
    let (mut creators, mut owners) = (Vec::new(), Vec::new());
    let (mut administrators, mut auditors) = (Vec::new(), Vec::new());
    let (mut elevators, mut elevated) = (Vec::new(), Vec::new());
    for value in values {
        let line = std::str::from_utf8(value).ok()?;
        if line == HEAD {
            head = true;
            continue;
        }
        let (role, sid) = line.split_once(' ')?;
        let list = match role {
            "readers" => &mut readers,
            "former-readers" => &mut former,
            "recovery" => &mut recovery,
            "creator" => &mut creators,
            "owner" => &mut owners,
            "administrator" => &mut administrators,
            "auditor" => &mut auditors,
            "elevator" => &mut elevators,
            "elevated" => &mut elevated,
            _ => return None,
        };
        list.push(sid.parse::<Sid>().ok()?);
    }
    let lists = [&mut former, &mut creators, &mut owners, &mut administrators, &mut auditors, &mut elevators];
    for list in lists {
        list.sort();
        list.dedup();
    }
    let elevated = match elevated.as_slice() {
        [] => None,
        [one] => Some(*one),
        _ => return None,
    };
    let (&[readers], &[recovery], true) = (readers.as_slice(), recovery.as_slice(), head) else {
        return None;
    };
    former.retain(|sid| *sid != readers);
    Some(Trustees {
        domain: *domain,
        readers,
        former,
        recovery,
        creators,
        // Who owns a group erases what was destroyed in it.
        erasers: owners.clone(),
        owners,
        administrators,
        auditors,
        elevators,
        elevated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_access_reads_back_in_any_order() {
        let sid = |rid: u32| format!("S-1-5-21-1-2-3-{rid}").parse::<Sid>().unwrap();
        let domain = Domain::single("S-1-5-21-1-2-3".parse().unwrap());
        let trustees = Trustees {
            domain,
            readers: sid(1100),
            former: vec![sid(1090), sid(1091)],
            recovery: sid(1101),
            creators: vec![sid(1102), sid(1103)],
            owners: vec![sid(1104)],
            erasers: vec![sid(1104)],
            administrators: vec![sid(512)],
            auditors: vec![sid(1105), sid(1106)],
            elevators: vec![sid(1107)],
            elevated: Some(sid(1108)),
        };
        let mut values = to_values(&trustees);
        values.reverse();
        let read = |values: &[Vec<u8>]| from_values(&domain, values.iter().map(Vec::as_slice));
        assert_eq!(read(&values), Some(trustees));
        for broken in [
            &b"readers S-1-5-21-1-2-3-9"[..],
            b"writer S-1-5-21-1-2-3-9",
            b"owner x",
            b"elevated S-1-5-21-1-2-3-9",
            b"\xFF",
        ] {
            let mut values = values.clone();
            values.push(broken.to_vec());
            assert_eq!(read(&values), None);
        }
        values.pop();
        assert_eq!(read(&values), None, "without its first line");
    }
}
