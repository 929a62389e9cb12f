//! Round trips, and no panic on anything.

use dkm_ad::security::{SddlError, SecurityDescriptor, Sid};
use proptest::prelude::*;

use crate::generate::{descriptor, domain, expressible, mutated, mutations, sid};

/// What holds of any bytes: either an error, or a descriptor whose canonical bytes say the same.
fn any_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(parsed) = SecurityDescriptor::parse(bytes) {
        let canonical = parsed.to_bytes().unwrap();
        prop_assert_eq!(SecurityDescriptor::parse(&canonical), Ok(parsed.clone()));
        if let Ok(text) = parsed.to_sddl(None) {
            prop_assert!(SecurityDescriptor::from_sddl(&text, None).is_ok(), "{}", text);
        }
    }
    Ok(())
}

/// What holds of any text: either an error, or a descriptor whose canonical text says the same.
fn any_text(text: &str) -> Result<(), TestCaseError> {
    if let Ok(parsed) = SecurityDescriptor::from_sddl(text, Some(&domain())) {
        let canonical = parsed.to_sddl(Some(&domain())).unwrap();
        prop_assert_eq!(SecurityDescriptor::from_sddl(&canonical, Some(&domain())), Ok(parsed));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_come_back(descriptor in descriptor()) {
        let bytes = descriptor.to_bytes().unwrap();
        let parsed = SecurityDescriptor::parse(&bytes).unwrap();
        prop_assert_eq!(&parsed, &descriptor);
        prop_assert_eq!(parsed.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn text_comes_back(descriptor in expressible(true)) {
        for domain in [None, Some(&domain())] {
            let text = descriptor.to_sddl(domain).unwrap();
            let parsed = SecurityDescriptor::from_sddl(&text, domain);
            prop_assert_eq!(parsed.as_ref(), Ok(&descriptor), "{}", text);
            prop_assert_eq!(parsed.unwrap().to_sddl(domain).unwrap(), text);
        }
    }

    #[test]
    fn sids_come_back(sid in sid()) {
        prop_assert_eq!(Sid::parse(&sid.to_bytes()), Ok(sid));
        prop_assert_eq!(sid.to_string().parse::<Sid>(), Ok(sid));
    }

    #[test]
    fn text_is_refused_only_for_what_it_cannot_say(descriptor in descriptor()) {
        match descriptor.to_sddl(None) {
            Ok(text) => prop_assert!(SecurityDescriptor::from_sddl(&text, None).is_ok(), "{}", text),
            Err(error) => {
                let is_it = matches!(error, SddlError::NotExpressible { .. });
                prop_assert!(is_it, "{}", error);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        any_bytes(&bytes)?;
    }

    #[test]
    fn changed_bytes_are_read_or_refused(descriptor in descriptor(), mutations in mutations()) {
        any_bytes(&mutated(descriptor.to_bytes().unwrap(), &mutations))?;
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[OGDS:();A-Z0-9x\\-é ]{0,64}") {
        any_text(&text)?;
    }

    #[test]
    fn changed_text_is_read_or_refused(descriptor in expressible(true), mutations in mutations()) {
        let text = descriptor.to_sddl(Some(&domain())).unwrap();
        any_text(&String::from_utf8_lossy(&mutated(text.into_bytes(), &mutations)))?;
    }
}
