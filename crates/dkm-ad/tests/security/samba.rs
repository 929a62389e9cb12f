//! Samba as the second reader: its `ndr`, its SDDL and its access check on the same descriptors.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use dkm_ad::security::{Access, AccessMask, Ace, AclSlot, OwnerRights, SecurityDescriptor, Sid, Token};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::generate::{descriptor, domain, expressible, familiar, mutated, mutations};

const SCRIPT: &str = include_str!("second_reader.py");
/// Debian's own, to which python3-samba belongs.
const PYTHON: &str = "/usr/bin/python3";
const CASES: usize = 400;

/// The same values in each run.
pub(crate) fn sample<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Samba's answers to `questions`, one each; `None` if Samba's Python modules aren't there.
fn ask(questions: &[String]) -> Option<Vec<Result<String, String>>> {
    let imports = Command::new(PYTHON).args(["-c", "import samba.security"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: python3-samba is not installed, so Samba's reading of our descriptors is not tested"
        );
        return None;
    }
    let mut samba = Command::new(PYTHON)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = samba.stdin.take().unwrap();
    let input = questions.join("\n") + "\n";
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = samba.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| match line.split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            _ => Err(line.to_owned()),
        })
        .collect();
    assert_eq!(answers.len(), questions.len());
    Some(answers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether Samba 4.17 reads the descriptor's text: it takes a SID with a hexadecimal authority for `S-1-0`, and the `S`
/// of `S:` for a flag when it stands behind the flags of an empty DACL.
fn is_in_sambas_words(descriptor: &SecurityDescriptor) -> bool {
    let lists = [&descriptor.dacl, &descriptor.sacl].into_iter().filter_map(AclSlot::acl);
    let trustees = lists.flat_map(|acl| &acl.entries).filter_map(Ace::entry).map(|entry| entry.trustee);
    let mut sids = trustees.chain(descriptor.owner).chain(descriptor.group);
    let is_empty = descriptor.dacl.acl().is_some_and(|acl| acl.entries.is_empty());
    sids.all(|sid| sid.authority() <= u64::from(u32::MAX))
        && (descriptor.sacl == AclSlot::Absent || !is_empty)
}

fn bytes(descriptor: &SecurityDescriptor) -> String {
    hex(&descriptor.to_bytes().unwrap())
}

#[test]
fn samba_reads_our_text_as_our_bytes() {
    let mut descriptors = sample(&expressible(false), CASES);
    descriptors.retain(is_in_sambas_words);
    assert!(descriptors.len() > CASES / 2);
    let text = |descriptor: &SecurityDescriptor| descriptor.to_sddl(Some(&domain())).unwrap();
    let questions: Vec<_> =
        descriptors.iter().map(|each| format!("text {} {}", domain().sid, text(each))).collect();
    let Some(answers) = ask(&questions) else { return };
    for ((descriptor, question), answer) in descriptors.iter().zip(questions).zip(answers) {
        assert_eq!(answer, Ok(bytes(descriptor)), "{question}");
    }
}

#[test]
fn we_read_sambas_text_as_our_bytes() {
    let descriptors = sample(&expressible(false), CASES);
    let questions: Vec<_> =
        descriptors.iter().map(|each| format!("sddl {} {}", domain().sid, bytes(each))).collect();
    let Some(answers) = ask(&questions) else { return };
    for (descriptor, answer) in descriptors.iter().zip(answers) {
        let text = answer.unwrap();
        let parsed = SecurityDescriptor::from_sddl(&text, Some(&domain()));
        assert_eq!(parsed.as_ref(), Ok(descriptor), "{text}");
    }
}

/// Samba keeps neither the resource manager's byte nor what follows a trustee; `None` for entries of kinds that it
/// shapes otherwise or refuses.
fn without_what_samba_drops(mut descriptor: SecurityDescriptor) -> Option<SecurityDescriptor> {
    descriptor.resource_manager = 0;
    for slot in [&mut descriptor.sacl, &mut descriptor.dacl] {
        let AclSlot::Present(acl) = slot else { continue };
        for ace in &mut acl.entries {
            let Ace::Entry(entry) = ace else { return None };
            entry.data.clear();
        }
    }
    Some(descriptor)
}

/// Bytes that only one of the two takes are of no harm as long as it is Samba: we refuse more.
#[test]
fn what_both_read_means_the_same() {
    let changed = (descriptor(), proptest::option::of(mutations()));
    let inputs: Vec<_> = sample(&changed, 2 * CASES)
        .into_iter()
        .map(|(descriptor, mutations)| {
            mutated(descriptor.to_bytes().unwrap(), mutations.as_deref().unwrap_or_default())
        })
        .filter(|bytes| !bytes.is_empty())
        .collect();
    let questions: Vec<_> = inputs.iter().map(|bytes| format!("bytes {}", hex(bytes))).collect();
    let Some(answers) = ask(&questions) else { return };
    let mut both = 0;
    for (input, answer) in inputs.iter().zip(answers) {
        let Ok(ours) = SecurityDescriptor::parse(input) else { continue };
        let Some(plain) = without_what_samba_drops(ours) else { continue };
        assert_eq!(answer, Ok(bytes(&plain)), "{}", hex(input));
        both += 1;
    }
    assert!(both > CASES / 2, "{both}");
}

/// Samba's check for files and registry keys (MS-DTYP §2.5.3.2): without object types, OWNER RIGHTS honoured.
#[test]
fn samba_grants_what_we_grant() {
    // No token holds the two SIDs that stand for somebody else.
    let principal =
        familiar().prop_filter("a principal", |sid| ![Sid::OWNER_RIGHTS, Sid::SELF].contains(sid));
    let mut cases = sample(&(expressible(false), proptest::collection::vec(principal, 1..5)), 3 * CASES);
    // Of an absent DACL Samba makes a refusal here, Windows and the standard none.
    cases.retain(|(descriptor, _)| descriptor.dacl != AclSlot::Absent);
    let mask = AccessMask::ALL;
    let questions: Vec<_> = cases
        .iter()
        .map(|(descriptor, sids)| {
            let sids: Vec<_> = sids.iter().map(Sid::to_string).collect();
            format!("access {} {} {}", bytes(&mapped(descriptor)), mask.0, sids.join(","))
        })
        .collect();
    let Some(answers) = ask(&questions) else { return };
    let mut partial = 0;
    for (((descriptor, sids), question), answer) in cases.iter().zip(questions).zip(answers) {
        let token = Token::new(sids.iter().copied());
        let descriptor = mapped(descriptor);
        let ours = Access::new(&descriptor, &token, OwnerRights::Honoured).on_object();
        partial += usize::from(!ours.is_empty() && ours != mask);
        let theirs = answer.map(|bits| AccessMask(bits.parse().unwrap()));
        assert_eq!(theirs, Ok(ours), "{question} of {}", descriptor.to_sddl(None).unwrap());
    }
    assert!(partial > CASES / 8, "{partial}");
}

/// With generic rights mapped, which Samba's function leaves to its callers, and without object entries.
fn mapped(descriptor: &SecurityDescriptor) -> SecurityDescriptor {
    let mut mapped = descriptor.clone();
    if let AclSlot::Present(acl) = &mut mapped.dacl {
        acl.entries.retain(|ace| ace.entry().is_some_and(|entry| !entry.object_form));
        for ace in &mut acl.entries {
            if let Ace::Entry(entry) = ace {
                entry.mask = entry.mask.mapped();
            }
        }
    }
    mapped
}
