//! Whether an address leads off this machine: what is sent there in the clear can be read by others.

use std::net::Ipv4Addr;

use url::{Host, Url};

/// Whether the host is this machine by its name or number: `localhost`, 127.0.0.0/8 or `::1`.
///
/// Any other name is another machine, whatever it resolves to today.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // Of a scheme that it does not know, such as amqp, `Url` takes a number for a name.
        Some(Host::Domain(name)) => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_all_others() {
        for (address, expected) in [
            ("http://localhost:8080/", true),
            ("http://LOCALHOST/", true),
            ("http://127.0.0.1/", true),
            ("http://127.255.255.254/", true),
            ("http://0x7f.1/", true),
            ("http://[::1]:8080/", true),
            ("amqp://user:pass@127.0.0.1:5672/", true),
            ("amqp://LocalHost/", true),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://localhost@example.com/", false),
            ("http://128.0.0.1/", false),
            ("http://0.0.0.0/", false),
            ("http://[::ffff:10.0.0.1]/", false),
            ("http://[fe80::1]/", false),
            ("http://service/", false),
            ("amqp://rabbit/", false),
            ("amqp://127.0.0.1@rabbit/", false),
            ("mailto:x@localhost", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(address).unwrap()), expected, "{address}");
        }
    }
}
