//! What a domain controller, or whoever is at its address, says of itself before anybody has signed in.

use dkm_ad::{AdUrl, Presence};

/// Names that were read are such as a URL may name, and so can be asked for.
pub(crate) fn parse(input: &[u8]) {
    let Ok(presence) = Presence::parse(input) else { return };
    let url: AdUrl =
        format!("ad://{}?dc={}", presence.domain, presence.host).parse().expect("names for a URL");
    assert_eq!((url.domain, &url.controllers[0].host), (presence.domain, &presence.host));
    for site in presence.site.iter().chain(&presence.client_site) {
        let url: AdUrl = format!("ad://example.com?site={site}").parse().expect("a site for a URL");
        assert_eq!(url.site.as_ref(), Some(site));
    }
}
