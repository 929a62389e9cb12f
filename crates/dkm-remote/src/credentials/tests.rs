use super::*;

#[test]
fn a_renewal_is_due_after_half_of_a_life() {
    let validity = Validity { not_before_ms: 1_000, not_after_ms: 3_000, is_renewable: true };
    assert!(!validity.is_renewal_due(2_000) && validity.is_renewal_due(2_001));
    assert!(!validity.has_ended(3_000) && validity.has_ended(3_001));
    // A life that ends before it begins, as a certificate may say.
    let odd = Validity { not_before_ms: 3_000, not_after_ms: 1_000, is_renewable: true };
    assert!(odd.has_ended(3_000) && !odd.is_renewal_due(2_000));
    let long = Validity { not_before_ms: 0, not_after_ms: u64::MAX, is_renewable: true };
    assert!(!long.is_renewal_due(u64::MAX / 2));
    // A grant's certificate ends with the grant.
    assert!(!Validity { is_renewable: false, ..validity }.is_renewal_due(2_001));
}

#[test]
fn new_keys_differ_and_their_requests_name_nobody() {
    let (one, other) = (key::NewKey::make().unwrap(), key::NewKey::make().unwrap());
    assert_ne!(*one.pem, *other.pem);
    assert!(one.pem.contains("PRIVATE KEY") && !one.request.contains("PRIVATE KEY"));
    let request = rcgen::CertificateSigningRequestParams::from_pem(&one.request).unwrap();
    assert_eq!(request.params.distinguished_name.iter().count(), 0);
    assert!(one.check(&one.request).unwrap_err().contains("certificate"));
}
