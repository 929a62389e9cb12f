//! Which service a token's ticket was got for, as stands in it in clear: `NegTokenInit` (RFC 4178 §4.2.1) with an `AP-REQ`
//! (RFC 4120 §5.5.1) as RFC 4121 §4.1 frames it.

/// Tags in DER: of SEQUENCE, OCTET STRING and GeneralString, and of the framing of RFC 2743 §3.1.
const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const TEXT: u8 = 0x1b;
const FRAME: u8 = 0x60;
const OID: u8 = 0x06;
/// `[APPLICATION 14]`, and `[APPLICATION 1]` in it.
const AP_REQ: u8 = 0x6e;
const TICKET: u8 = 0x61;
/// What stands before an `AP-REQ`.
const AP_REQ_MARK: &[u8] = &[0x01, 0x00];

/// The first element: its tag, its value, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(d, _)| d.len() <= 4)?;
        (digits.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// The value of the first element, which must have this tag.
fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    element(bytes).filter(|(found, ..)| *found == tag).map(|(_, value, _)| value)
}

/// The value of the field with this number, among the fields of a sequence.
fn field(sequence: &[u8], number: u8) -> Option<&[u8]> {
    let mut rest = inside(sequence, SEQUENCE)?;
    loop {
        let (tag, value, after) = element(rest)?;
        if tag == 0xa0 | number {
            return Some(value);
        }
        rest = after;
    }
}

/// What follows the mechanism's name in a frame.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let (tag, _, rest) = element(inside(bytes, FRAME)?)?;
    (tag == OID).then_some(rest)
}

/// The service, `HTTP/host@REALM`; none if the token holds no ticket of Kerberos.
pub(super) fn service(token: &[u8]) -> Option<String> {
    let negotiation = inside(framed(token)?, 0xa0)?;
    let kerberos = framed(inside(field(negotiation, 2)?, OCTETS)?)?.strip_prefix(AP_REQ_MARK)?;
    let ticket = inside(field(inside(kerberos, AP_REQ)?, 3)?, TICKET)?;
    let realm = std::str::from_utf8(inside(field(ticket, 1)?, TEXT)?).ok()?;
    let mut rest = inside(field(field(ticket, 2)?, 1)?, SEQUENCE)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (tag, part, after) = element(rest)?;
        parts.push(std::str::from_utf8(part).ok().filter(|_| tag == TEXT)?);
        rest = after;
    }
    Some(format!("{}@{realm}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let length = u16::try_from(value.len()).unwrap();
        let [high, low] = length.to_be_bytes();
        match (high, low) {
            (0, 0..0x80) => [&[tag, low], value.as_slice()].concat(),
            _ => [&[tag, 0x82, high, low], value.as_slice()].concat(),
        }
    }

    fn token(parts: &[&str], realm: &str) -> Vec<u8> {
        let texts: Vec<_> = parts.iter().map(|part| der(TEXT, &[part.as_bytes()])).collect();
        let names = der(SEQUENCE, &[&texts.concat()]);
        let name = der(SEQUENCE, &[&der(0xa0, &[b"\x02\x01\x02"]), &der(0xa1, &[&names])]);
        let fields = [
            der(0xa0, &[b"\x02\x01\x05"]),
            der(0xa1, &[&der(TEXT, &[realm.as_bytes()])]),
            der(0xa2, &[&name]),
            der(0xa3, &[&[0x55; 300]]),
        ];
        let ticket = der(TICKET, &[&der(SEQUENCE, &[&fields.concat()])]);
        let request = der(SEQUENCE, &[&der(0xa0, &[b"\x02\x01\x05"]), &der(0xa3, &[&ticket])]);
        let kerberos = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
        let inner = der(FRAME, &[kerberos, AP_REQ_MARK, &der(AP_REQ, &[&request])]);
        let mechanisms = der(0xa0, &[&der(SEQUENCE, &[kerberos])]);
        let init = der(SEQUENCE, &[&mechanisms, &der(0xa2, &[&der(OCTETS, &[&inner])])]);
        der(FRAME, &[b"\x06\x06\x2b\x06\x01\x05\x05\x02", &der(0xa0, &[&init])])
    }

    #[test]
    fn the_service_is_the_one_in_the_ticket() {
        let of = |parts: &[&str]| service(&token(parts, "EXAMPLE.COM"));
        assert_eq!(of(&["HTTP", "keys.example.com"]).as_deref(), Some("HTTP/keys.example.com@EXAMPLE.COM"));
        assert_eq!(of(&["cifs", "keys.example.com"]).as_deref(), Some("cifs/keys.example.com@EXAMPLE.COM"));
        assert_eq!(of(&["svc-dkmd"]).as_deref(), Some("svc-dkmd@EXAMPLE.COM"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_stop(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..400usize, by in any::<u8>()) {
            let _ = service(&bytes);
            let mut odd = token(&["HTTP", "keys.example.com"], "EXAMPLE.COM");
            if let Some(byte) = odd.get_mut(at) {
                *byte ^= by;
            }
            let _ = service(&odd);
            odd.truncate(at);
            prop_assert_eq!(service(&odd), None);
        }
    }
}
