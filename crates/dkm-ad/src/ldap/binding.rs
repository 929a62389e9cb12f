//! What ties a Kerberos sign-in to the TLS connection that it happens in: `tls-server-end-point`, RFC 5929 §4.

use aws_lc_rs::digest::{self, Algorithm, SHA224, SHA256, SHA384, SHA512};
use rasn::prelude::*;

/// The kind of binding, as it stands before the hash (RFC 5056 §2.1).
const KIND: &[u8] = b"tls-server-end-point:";

/// An X.509 certificate, as far as it matters here.
#[derive(Debug, rasn::AsnType, rasn::Decode)]
struct Certificate {
    _signed: Any,
    algorithm: AlgorithmIdentifier,
    _signature: BitString,
}

#[derive(Debug, rasn::AsnType, rasn::Decode)]
struct AlgorithmIdentifier {
    algorithm: ObjectIdentifier,
    parameters: Option<Any>,
}

/// Parameters of RSASSA-PSS, RFC 4055 §3.1.
#[derive(Debug, rasn::AsnType, rasn::Decode)]
struct PssParameters {
    #[rasn(tag(explicit(0)))]
    hash: Option<AlgorithmIdentifier>,
    #[rasn(tag(explicit(1)))]
    _mask: Option<AlgorithmIdentifier>,
    #[rasn(tag(explicit(2)))]
    _salt: Option<Integer>,
    #[rasn(tag(explicit(3)))]
    _trailer: Option<Integer>,
}

/// The application data of the channel binding for a server's certificate, in DER: the kind, and the certificate's hash.
///
/// # Errors
/// The standard gives its signature algorithm no hash; says so.
pub fn server_end_point(certificate: &[u8]) -> Result<Vec<u8>, String> {
    let parsed: Certificate = rasn::der::decode(certificate)
        .map_err(|error| format!("its certificate can't be decoded: {error}"))?;
    let hash = hash_of(&parsed.algorithm).ok_or_else(|| {
        format!(
            "no channel binding is defined for its certificate, whose signature algorithm is {}; give it one that is \
             signed with RSA or ECDSA",
            parsed.algorithm.algorithm
        )
    })?;
    Ok([KIND, digest::digest(hash, certificate).as_ref()].concat())
}

/// The hash function of a signature algorithm; SHA-256 in place of MD5 and SHA-1.
fn hash_of(signature: &AlgorithmIdentifier) -> Option<&'static Algorithm> {
    match &**signature.algorithm {
        // RSASSA-PSS: among its parameters, and SHA-1 if it is not.
        [1, 2, 840, 113_549, 1, 1, 10] => {
            let parameters = signature.parameters.as_ref()?;
            let parameters: PssParameters = rasn::der::decode(parameters.as_bytes()).ok()?;
            parameters.hash.map_or(Some(&SHA256), |hash| hash_named(&hash.algorithm))
        }
        // RSA PKCS #1 v1.5 with MD5, SHA-1, and the others; ECDSA with SHA-1, and the others.
        [1, 2, 840, 113_549, 1, 1, 4 | 5 | 11] | [1, 2, 840, 10_045, 4, 1] | [1, 2, 840, 10_045, 4, 3, 2] => {
            Some(&SHA256)
        }
        [1, 2, 840, 113_549, 1, 1, 12] | [1, 2, 840, 10_045, 4, 3, 3] => Some(&SHA384),
        [1, 2, 840, 113_549, 1, 1, 13] | [1, 2, 840, 10_045, 4, 3, 4] => Some(&SHA512),
        [1, 2, 840, 113_549, 1, 1, 14] | [1, 2, 840, 10_045, 4, 3, 1] => Some(&SHA224),
        _ => None,
    }
}

/// The hash function with this identifier; SHA-256 in place of MD5 and SHA-1.
fn hash_named(hash: &ObjectIdentifier) -> Option<&'static Algorithm> {
    match &***hash {
        [1, 2, 840, 113_549, 2, 5] | [1, 3, 14, 3, 2, 26] | [2, 16, 840, 1, 101, 3, 4, 2, 1] => Some(&SHA256),
        [2, 16, 840, 1, 101, 3, 4, 2, 2] => Some(&SHA384),
        [2, 16, 840, 1, 101, 3, 4, 2, 3] => Some(&SHA512),
        [2, 16, 840, 1, 101, 3, 4, 2, 4] => Some(&SHA224),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate in outline: what is signed, the algorithm, and the signature.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let content = [&[0x30, 0x03, 0x02, 0x01, 0x02][..], algorithm, &[0x03, 0x02, 0x00, 0xFF]].concat();
        [&[0x30, u8::try_from(content.len()).unwrap()][..], &content].concat()
    }

    /// RSA PKCS #1 v1.5; the number tells the hash function.
    fn rsa(hash: u8) -> Vec<u8> {
        vec![0x30, 13, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, hash, 5, 0]
    }

    fn ecdsa(end: &[u8]) -> Vec<u8> {
        let head = [0x30, u8::try_from(7 + end.len()).unwrap(), 6, u8::try_from(5 + end.len()).unwrap()];
        [&head[..], &[0x2A, 0x86, 0x48, 0xCE, 0x3D], end].concat()
    }

    #[test]
    fn the_hash_is_that_of_the_signature_and_at_least_sha_256() {
        for (algorithm, hash) in [
            (rsa(4), &SHA256),
            (rsa(5), &SHA256),
            (rsa(11), &SHA256),
            (rsa(12), &SHA384),
            (rsa(13), &SHA512),
            (rsa(14), &SHA224),
            (ecdsa(&[4, 1]), &SHA256),
            (ecdsa(&[4, 3, 1]), &SHA224),
            (ecdsa(&[4, 3, 2]), &SHA256),
            (ecdsa(&[4, 3, 3]), &SHA384),
            (ecdsa(&[4, 3, 4]), &SHA512),
        ] {
            let certificate = certificate(&algorithm);
            let expected = [KIND, digest::digest(hash, &certificate).as_ref()].concat();
            assert_eq!(server_end_point(&certificate).as_ref(), Ok(&expected), "{algorithm:02x?}");
        }
    }

    #[test]
    fn others_have_none() {
        // Ed25519, an algorithm of RSA that is no signature, and RSASSA-PSS without parameters.
        let pss = vec![0x30, 11, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 10];
        for algorithm in [vec![0x30, 5, 6, 3, 0x2B, 0x65, 0x70], rsa(1), pss] {
            let error = server_end_point(&certificate(&algorithm)).unwrap_err();
            assert!(error.contains("no channel binding"), "{error}");
        }
        for odd in [&[][..], &[0x30, 0], b"not DER", &certificate(&rsa(11))[..20]] {
            assert!(server_end_point(odd).unwrap_err().contains("decoded"), "{odd:02x?}");
        }
    }
}
