use memchr::memchr2;
use std::net::IpAddr;

/// An address, a prefix or a range of addresses to look for in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IpPattern {
    first: IpAddr,
    last: IpAddr,
}

impl IpPattern {
    /// Reads `address`, `address/bits` or `address-address`. The error is the text for the user.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("ip: invalid pattern: {text:?}"))
    }

    fn read(text: &str) -> Option<Self> {
        if let Some((first, last)) = text.split_once('-') {
            let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
            return (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(IpPattern { first, last });
        }
        if let Some((address, bits)) = text.split_once('/') {
            let plain = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
            return Self::prefix(address.parse().ok()?, bits.parse().ok().filter(|_| plain)?);
        }
        text.parse().ok().map(|address| IpPattern { first: address, last: address })
    }

    fn prefix(address: IpAddr, bits: u32) -> Option<Self> {
        match address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(bits).filter(|_| bits <= 32).unwrap_or(0);
                let first = address.to_bits() & !host;
                (bits <= 32).then(|| IpPattern { first: IpAddr::V4(first.into()), last: IpAddr::V4((first | host).into()) })
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = address.to_bits() & !host;
                (bits <= 128).then(|| IpPattern { first: IpAddr::V6(first.into()), last: IpAddr::V6((first | host).into()) })
            }
        }
    }

    fn holds(&self, run: &[u8]) -> bool {
        let address = std::str::from_utf8(run).ok().and_then(|text| text.parse::<IpAddr>().ok());
        address.is_some_and(|address| address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last)
    }

    /// Whether `text` holds such an address, as a maximal run of characters that addresses are made of.
    pub(crate) fn found_in(&self, text: &[u8]) -> bool {
        if memchr2(b'.', b':', text).is_none() {
            return false;
        }
        let mut at = 0;
        while at < text.len() {
            let len = run_len(&text[at..]);
            if len == 0 {
                at += 1;
                continue;
            }
            if self.holds(&text[at..at + len]) {
                return true;
            }
            // The byte behind a run that is no match cannot begin another.
            at += len + 1;
        }
        false
    }
}

/// Length of the run that looks like an address at the start of `text`, 0 for none.
fn run_len(text: &[u8]) -> usize {
    let run = |takes: fn(&u8) -> bool| text.iter().position(|b| !takes(b)).unwrap_or(text.len());
    if text[0].is_ascii_digit() && text.len() > 3 && text[1..4].contains(&b'.') {
        return run(|b| b.is_ascii_digit() || *b == b'.');
    }
    let digits = text.iter().take(5).position(|b| !b.is_ascii_hexdigit()).unwrap_or(5);
    let double_colon = text.starts_with(b"::") && text.get(2).is_some_and(u8::is_ascii_hexdigit);
    if double_colon || ((1..=4).contains(&digits) && text.get(digits) == Some(&b':')) {
        return run(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, found: &[&str], not_found: &[&str]) {
        let pattern = IpPattern::parse(pattern).expect("is a pattern");
        found.iter().for_each(|text| assert!(pattern.found_in(text.as_bytes()), "{text}"));
        not_found.iter().for_each(|text| assert!(!pattern.found_in(text.as_bytes()), "{text}"));
    }

    #[test]
    fn addresses_are_found_as_maximal_runs() {
        check("10.0.0.0/8", &["src=10.1.2.3 x", "x10.1.2.3", "10.1.2.3:8080"], &["src=110.1.2.3", "10.1.2.3.4", "v6 ::1", "", "1.2"]);
        check("10.1.2.3", &["10.1.2.3"], &["::ffff:10.1.2.3", "10.1.2.30"]);
        check("10.0.0.5-10.0.0.7", &["a 10.0.0.6"], &["10.0.0.8"]);
        check("2001:db8::/32", &["from 2001:db8::1 on"], &["2001:db9::1"]);
        check("0.0.0.0/0", &["8.8.8.8"], &["::1"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["nope", "", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.7-10.0.0.5", "10.0.0.1-::1", "::/129"] {
            assert_eq!(IpPattern::parse(text), Err(format!("ip: invalid pattern: {text:?}")));
        }
    }
}
