//! Whatever URL is understood reads back as it was meant.

use std::net::{IpAddr, SocketAddr};

use dkm_ad::{AdUrl, Transport};
use proptest::prelude::*;

fn controllers() -> impl Strategy<Value = String> {
    let address = proptest::option::of((any::<IpAddr>(), proptest::option::of(any::<u16>())));
    proptest::collection::btree_map("[a-z][a-z0-9-]{0,9}", address, 1..4).prop_map(|list| {
        let shown = |(name, address): (String, Option<(IpAddr, Option<u16>)>)| match address {
            None => name,
            Some((address, None)) => format!("{name}@{address}"),
            Some((address, Some(port))) => format!("{name}@{}", SocketAddr::new(address, port)),
        };
        format!("dc={}", list.into_iter().map(shown).collect::<Vec<_>>().join(","))
    })
}

fn urls() -> impl Strategy<Value = String> {
    let pairs = (
        proptest::option::of(controllers()),
        proptest::option::of("principal=[a-z$]{1,8}@[A-Z.]{1,8}".prop_map(String::from)),
        proptest::option::of("root-keys=/[a-z /]{0,8}".prop_map(String::from)),
        proptest::option::of(Just("tls=yes".to_owned())),
        proptest::option::of("ca=/[a-zA-Z0-9 ._/]{0,12}".prop_map(String::from)),
    );
    let order = pairs.prop_map(|(dc, principal, root_keys, tls, ca)| {
        let ca = ca.filter(|_| tls.is_some());
        [dc, principal, root_keys, tls, ca].into_iter().flatten().collect::<Vec<_>>()
    });
    ("[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", proptest::option::of("OU=[A-Za-z ]{1,8}"), order.prop_shuffle())
        .prop_map(|(domain, container, pairs)| {
            let container = container.map(|container| format!("/{container}")).unwrap_or_default();
            let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
            format!("ad://{domain}{container}{query}")
        })
}

proptest! {
    #[test]
    fn urls_read_back(text in urls()) {
        let url: AdUrl = text.parse().unwrap();
        let again: AdUrl = url.to_string().parse().unwrap();
        prop_assert_eq!(&again, &url);
        let in_tls = text.contains("tls=yes");
        prop_assert_eq!(matches!(url.transport, Transport::Tls { .. }), in_tls);
        // The port that nobody named is the one of the transport, wherever in the URL that stands.
        let port = if in_tls { 636 } else { 389 };
        for controller in url.controllers.iter().filter(|controller| controller.address.is_none()) {
            prop_assert_eq!(controller.port, port);
        }
    }

    #[test]
    fn anything_else_is_an_error_and_no_panic(text in "ad://[a-z.]{0,6}[?/&=a-z@:,0-9]{0,40}") {
        if let Ok(url) = text.parse::<AdUrl>() {
            prop_assert_eq!(url.to_string().parse::<AdUrl>(), Ok(url));
        }
    }
}
