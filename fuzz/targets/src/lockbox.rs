//! What the lockbox reads of strangers: signatures, statements, and its own records.

use dkm_lockbox::{NAMESPACE, Record, Statement, sshsig};

/// The first line is a public key, the rest an armoured signature.
pub(crate) fn signature(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (line, armored) = text.split_once('\n').unwrap_or((text, ""));
    let good = sshsig::verify(line, NAMESPACE, b"decision: approve\n", armored);
    if good.is_ok() {
        assert!(sshsig::check_key(line).is_ok());
        assert!(sshsig::verify(line, NAMESPACE, b"decision: deny\n", armored).is_err());
        assert!(sshsig::verify(line, "dkm-roster", b"decision: approve\n", armored).is_err());
    }
    let _ = sshsig::from_webauthn(line, NAMESPACE, input, input, input);
}

pub(crate) fn statement(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(statement) = Statement::parse(text) {
        assert_eq!(statement.text(), text);
        statement.request.check().unwrap();
    }
}

pub(crate) fn record(input: &[u8]) {
    if let Ok(record) = Record::decode(input) {
        assert_eq!(record.encode(), input);
    }
}
