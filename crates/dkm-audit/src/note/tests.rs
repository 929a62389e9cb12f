use proptest::prelude::*;

use super::*;
use crate::Checkpoint;
use crate::trust::{Trust, TrustError};

/// The example of C2SP signed-note.
const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The example of C2SP tlog-cosignature.
const COSIGNED: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    \u{2014} example.com/behind-the-sofa \
    Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn log_key(seed: u8) -> LogKey {
    LogKey::from_seed(name("example.com/log"), &[seed; 32]).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint {
        origin: "example.com/log".to_owned(),
        size,
        root: dkm_core::Digest([7; 32]),
        extensions: Vec::new(),
    }
}

#[test]
fn the_specifications_note_is_verified_by_the_specifications_key() {
    let key: VerifierKey = VKEY.parse().unwrap();
    assert_eq!(
        (key.to_string(), key.kind(), key.id()),
        (VKEY.to_owned(), KeyKind::Log, NoteKeyId(0x530d_903a))
    );
    let note = Note::parse(NOTE.as_bytes()).unwrap();
    assert_eq!(note.encode(), NOTE.as_bytes());
    assert_eq!(note.text(), "This is an example message.\n");
    assert!(key.verifies(note.text().as_bytes(), &note.by(&key).unwrap().signature));
    assert!(!key.verifies(b"This is another message.\n", &note.by(&key).unwrap().signature));
}

#[test]
fn the_specifications_checkpoint_and_cosignature_are_read() {
    let note = Note::parse(COSIGNED.as_bytes()).unwrap();
    assert_eq!(note.encode(), COSIGNED.as_bytes());
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.text(), note.text());
    let cosignature = &note.signatures()[1];
    assert_eq!(cosignature.signature.len(), 8 + 64);
    assert_eq!(cosignature.signature[..8], 1_679_315_147u64.to_be_bytes());
}

#[test]
fn notes_that_are_not_canonical_are_refused() {
    let signature = NOTE.rsplit_once('\n').unwrap().0.rsplit_once('\n').unwrap().1;
    let refused = [
        (String::new(), NoteError::NoText),
        ("text\n".to_owned(), NoteError::NoText),
        (format!("text\n{signature}\n"), NoteError::NoText),
        ("text\n\n".to_owned(), NoteError::BadCount),
        (format!("text\n\n{signature}"), NoteError::BadSignature { line: 1 }),
        (format!("text\n\n{signature}\nmore\n"), NoteError::BadSignature { line: 2 }),
        (format!("text\n\n{}\n", signature.replace('\u{2014}', "-")), NoteError::BadSignature { line: 1 }),
        (format!("text\n\n{}\n", signature.replace("foo ", "foo  ")), NoteError::BadSignature { line: 1 }),
        (format!("text\n\n{}\n", signature.replace("foo", "f+o")), NoteError::BadSignature { line: 1 }),
        (format!("text\n\n{}\n", signature.replace("aQM=", "aQN=")), NoteError::BadSignature { line: 1 }),
        (format!("text\n\n{}\n", signature.replace("aQM=", "aQM")), NoteError::BadSignature { line: 1 }),
        (format!("text\n\n{signature}\r\n"), NoteError::BadSignature { line: 1 }),
        (format!("te\txt\n\n{signature}\n"), NoteError::NotText),
        ("\n\n\u{2014} a AAAAAA==\n".to_owned(), NoteError::BadSignature { line: 1 }),
        (format!("text\n\n{signature}\n{signature}\n"), NoteError::Twice { line: 2 }),
    ];
    for (note, error) in refused {
        assert_eq!(Note::parse(note.as_bytes()), Err(error), "{note:?}");
    }
    assert_eq!(Note::parse(b"te\xffxt\n\n"), Err(NoteError::NotText));
    assert_eq!(Note::parse(&vec![b'a'; NOTE_LEN_MAX + 1]), Err(NoteError::TooLong));
    let lines = |n: u32| (0..n).map(|n| format!("\u{2014} k{n} AAAAAAA=\n")).collect::<String>();
    assert_eq!(Note::parse(format!("text\n\n{}", lines(64)).as_bytes()).unwrap().signatures().len(), 64);
    assert_eq!(Note::parse(format!("text\n\n{}", lines(65)).as_bytes()), Err(NoteError::BadCount));
    // The text ends at the last empty line, whatever stands in it.
    let nested = format!("{NOTE}\n{signature}\n");
    assert_eq!(Note::parse(nested.as_bytes()).unwrap().text(), NOTE);
}

#[test]
fn what_cannot_be_read_back_cannot_be_made() {
    let signature = log_key(1).sign("text\n");
    let made = |text: &str, signatures: Vec<NoteSignature>| Note::new(text.to_owned(), signatures);
    assert_eq!(made("text", vec![signature.clone()]), Err(NoteError::NoText));
    assert_eq!(made("te\0xt\n", vec![signature.clone()]), Err(NoteError::NotText));
    assert_eq!(made("text\n", Vec::new()), Err(NoteError::BadCount));
    assert_eq!(made("text\n", vec![signature.clone(), signature.clone()]), Err(NoteError::Twice { line: 2 }));
    let long = NoteSignature { signature: vec![0; SIGNATURE_LEN_MAX + 1], ..signature.clone() };
    assert_eq!(made("text\n", vec![long]), Err(NoteError::BadSignature { line: 1 }));
    assert_eq!(made(&"text\n".repeat(NOTE_LEN_MAX / 5), vec![signature]), Err(NoteError::TooLong));
}

#[test]
fn checkpoints_that_are_not_canonical_are_refused() {
    use crate::checkpoint::CheckpointError as E;
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let refused = [
        (String::new(), E::BadLines),
        ("o\n1\n".to_owned(), E::BadLines),
        (format!("o\n1\n{root}"), E::BadLines),
        (format!("o\n1\n{root}\n\n"), E::BadLines),
        (format!("\n1\n{root}\n"), E::BadLines),
        (format!("o\n01\n{root}\n"), E::BadSize),
        (format!("o\n+1\n{root}\n"), E::BadSize),
        (format!("o\n-1\n{root}\n"), E::BadSize),
        (format!("o\n18446744073709551616\n{root}\n"), E::BadSize),
        (format!("o\n1\n{}\n", &root[1..]), E::BadRoot),
        (format!("o\n1\n{}\n", root.replace("2I=", "2J=")), E::BadRoot),
        ("o\n1\nAAAA\n".to_owned(), E::BadRoot),
        (format!("o\n0\n{root}\n"), E::BadEmptyRoot),
        (format!("{}\n1\n{root}\n", "o".repeat(20_000)), E::TooLong),
    ];
    for (text, error) in refused {
        assert_eq!(text.parse::<Checkpoint>(), Err(error), "{text:?}");
    }
    let extended = format!("o\n1\n{root}\nmore\nand more\n");
    let parsed: Checkpoint = extended.parse().unwrap();
    assert_eq!((parsed.extensions.len(), parsed.text()), (2, extended));
}

#[test]
fn keys_are_what_their_id_says() {
    let (head, key) = VKEY.rsplit_once('+').unwrap();
    let refused = [
        (head.to_owned(), KeyError::Malformed),
        (format!("example.com/bar+530d903a+{key}"), KeyError::WrongId),
        (format!("example.com/foo+530d903b+{key}"), KeyError::WrongId),
        (format!("example.com/foo+530D903A+{key}"), KeyError::WrongId),
        (format!("exam ple+530d903a+{key}"), KeyError::BadName),
        (format!("+530d903a+{key}"), KeyError::BadName),
        (VKEY.replace("+Aek", "+Auk"), KeyError::UnknownKind),
        (VKEY.replace("U2k", "U2"), KeyError::Malformed),
        (format!("{VKEY}{}", "A".repeat(2000)), KeyError::UnknownKind),
        ("n".repeat(256) + "+00000000+AAAA", KeyError::BadName),
    ];
    for (text, error) in refused {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    }
}

#[test]
fn a_secret_key_is_written_and_read_and_shown_nowhere() {
    let key = log_key(0x5a);
    let text = key.to_text();
    let again = LogKey::from_text(&text).unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(again.sign("text\n"), key.sign("text\n"));
    let digits = text.rsplit_once('+').unwrap().1;
    for shown in [format!("{key:?}"), format!("{:?}", key.public())] {
        assert!(!shown.contains(digits) && !shown.contains("90, 90") && !shown.contains("5a5a"), "{shown}");
    }
    let wrong = text.replace(&key.public().id().to_string(), "00000000");
    assert_eq!(LogKey::from_text(&wrong).unwrap_err(), KeyError::WrongId);
    for cut in ["", "PRIVATE+KEY+", &text[..text.len() - 1], &text[1..]] {
        assert_eq!(LogKey::from_text(cut).unwrap_err(), KeyError::Malformed, "{}", cut.len());
    }
    assert_ne!(LogKey::generate(name("a")).unwrap().public(), LogKey::generate(name("a")).unwrap().public());
}

/// A rule with three witnesses, two of which must have cosigned; and the witnesses.
fn two_of_three() -> (Trust, Vec<WitnessKey>) {
    let witnesses: Vec<_> =
        (1..=3).map(|n| WitnessKey::generate(name(&format!("w{n}.example.com"))).unwrap()).collect();
    let public = witnesses.iter().map(|witness| witness.public().clone()).collect();
    let trust = Trust::log(log_key(1).public().clone()).unwrap().with_witnesses(public, 2).unwrap();
    (trust, witnesses)
}

fn signed(checkpoint: &Checkpoint, more: Vec<NoteSignature>) -> Vec<u8> {
    let text = checkpoint.text();
    let signatures = [log_key(1).sign(&text)].into_iter().chain(more).collect();
    Note::new(text, signatures).unwrap().encode()
}

#[test]
fn a_checkpoint_needs_its_log_and_enough_witnesses() {
    let (trust, witnesses) = two_of_three();
    let head = checkpoint(5);
    let too_few = |found| Err(TrustError::TooFewWitnesses { found, needed: 2 });
    assert_eq!(trust.verify(&signed(&head, Vec::new())), too_few(0));
    assert_eq!(trust.verify(&signed(&head, vec![witnesses[0].cosign(&head, 9)])), too_few(1));
    let stranger = WitnessKey::generate(name("w4.example.com")).unwrap();
    let named_alike = WitnessKey::generate(name("w2.example.com")).unwrap();
    let others = vec![witnesses[0].cosign(&head, 9), stranger.cosign(&head, 9), named_alike.cosign(&head, 9)];
    assert_eq!(trust.verify(&signed(&head, others)), too_few(1));
    let enough = vec![witnesses[2].cosign(&head, 8), witnesses[0].cosign(&head, u64::MAX)];
    let verified = trust.verify(&signed(&head, enough)).unwrap();
    assert_eq!(verified.checkpoint, head);
    let latest = i64::MAX.cast_unsigned();
    assert_eq!(verified.cosigned, [(name("w1.example.com"), latest), (name("w3.example.com"), 8)]);
}

#[test]
fn a_forged_signature_by_a_known_key_spoils_the_checkpoint() {
    let (trust, witnesses) = two_of_three();
    let head = checkpoint(5);
    let all = || witnesses.iter().map(|witness| witness.cosign(&head, 9)).collect::<Vec<_>>();
    let forged = |at: usize, change: fn(&mut Vec<u8>)| {
        let mut cosignatures = all();
        change(&mut cosignatures[at].signature);
        trust.verify(&signed(&head, cosignatures))
    };
    assert!(trust.verify(&signed(&head, all())).is_ok());
    let bad = |n: u8| Err(TrustError::BadSignature { name: name(&format!("w{n}.example.com")) });
    assert_eq!(forged(0, |signature| signature[70] ^= 1), bad(1));
    // The time is signed too.
    assert_eq!(forged(1, |signature| signature[7] ^= 1), bad(2));
    assert_eq!(forged(2, |signature| signature[0] = 0x80), bad(3));
    assert_eq!(forged(2, |signature| signature.truncate(5)), bad(3));
    // A cosignature is of one checkpoint.
    let elsewhere = vec![witnesses[0].cosign(&checkpoint(6), 9), witnesses[1].cosign(&head, 9)];
    assert_eq!(trust.verify(&signed(&head, elsewhere)), bad(1));
    let mut own = log_key(1).sign(&head.text());
    own.signature[3] ^= 1;
    let note = Note::new(head.text(), vec![own]).unwrap();
    assert_eq!(trust.verify(&note.encode()), Err(TrustError::BadSignature { name: name("example.com/log") }));
}

#[test]
fn another_logs_checkpoint_is_not_believed() {
    let trust = Trust::log(log_key(1).public().clone()).unwrap();
    let mut foreign = checkpoint(5);
    foreign.origin = "example.com/other".to_owned();
    assert!(matches!(trust.verify(&signed(&foreign, Vec::new())), Err(TrustError::WrongOrigin { .. })));
    let text = checkpoint(5).text();
    let other = Note::new(text.clone(), vec![log_key(2).sign(&text)]).unwrap().encode();
    assert!(matches!(trust.verify(&other), Err(TrustError::NotSigned { .. })));
    assert!(matches!(trust.verify(b"garbage"), Err(TrustError::Note(_))));
    let note = Note::new("no checkpoint\n".to_owned(), vec![log_key(1).sign("no checkpoint\n")]).unwrap();
    assert!(matches!(trust.verify(&note.encode()), Err(TrustError::Checkpoint(_))));
}

#[test]
fn a_rule_counts_every_witness_once() {
    let (_, witnesses) = two_of_three();
    let log = Trust::log(log_key(1).public().clone()).unwrap();
    let one = witnesses[0].public();
    let renamed = VerifierKey::new(name("alias"), KeyKind::Witness, *one.public());
    let same_name = VerifierKey::new(one.name().clone(), KeyKind::Witness, [9; 32]);
    let itself = VerifierKey::new(name("self"), KeyKind::Witness, *log_key(1).public().public());
    for bad in [
        vec![one.clone(), one.clone()],
        vec![one.clone(), renamed],
        vec![one.clone(), same_name],
        vec![itself],
    ] {
        assert_eq!(log.clone().with_witnesses(bad, 1), Err(TrustError::BadRule));
    }
    assert_eq!(log.clone().with_witnesses(vec![one.clone()], 2), Err(TrustError::BadRule));
    assert_eq!(log.with_witnesses(vec![log_key(2).public().clone()], 1), Err(TrustError::BadRule));
    assert_eq!(Trust::log(one.clone()), Err(TrustError::BadRule));
}

#[test]
fn another_implementation_reads_our_notes_and_we_read_its() {
    use signed_note::{StandardSigner, StandardVerifier, VerifierList};
    let key = log_key(3);
    let text = checkpoint(5).text();
    let ours = Note::new(text.clone(), vec![key.sign(&text), log_key(4).sign(&text)]).unwrap();
    let verifier = StandardVerifier::new(&key.public().to_string()).unwrap();
    let theirs = signed_note::Note::from_bytes(&ours.encode()).unwrap();
    assert_eq!(theirs.to_bytes(), ours.encode());
    let (known, unknown) = theirs.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((known.len(), unknown.len()), (1, 1));
    let parsed = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((parsed.origin(), parsed.size(), parsed.hash().0), ("example.com/log", 5, [7; 32]));

    // They read the key that we have written, and sign with it as we do.
    let signer = StandardSigner::new(&key.to_text()).unwrap();
    let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    assert_eq!(theirs.to_bytes(), Note::new(text.clone(), vec![key.sign(&text)]).unwrap().encode());
    let trust = Trust::log(key.public().clone()).unwrap();
    assert_eq!(trust.verify(&theirs.to_bytes()).unwrap().checkpoint, checkpoint(5));
}

proptest! {
    #[test]
    fn what_is_read_is_written_the_same(bytes in "[a-z\n]{0,20}\n\n(\u{2014} [a-z]{1,3} [A-Za-z0-9+/]{8}\n){0,3}") {
        if let Ok(note) = Note::parse(bytes.as_bytes()) {
            prop_assert_eq!(note.encode(), bytes.as_bytes());
            prop_assert_eq!(Note::new(note.text().to_owned(), note.signatures().to_vec()), Ok(note));
        }
    }

    #[test]
    fn checkpoints_come_back(origin in "[a-z./]{1,20}", size in 1u64.., root: [u8; 32], extensions in prop::collection::vec("[a-z ]{1,9}", 0..3)) {
        let checkpoint = Checkpoint { origin, size, root: dkm_core::Digest(root), extensions };
        prop_assert_eq!(checkpoint.text().parse(), Ok(checkpoint));
    }
}
