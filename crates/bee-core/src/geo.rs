//! Country and network of an address, from MMDB files that the operator supplies.
//!
//! Looked up when an event is normalised. Addresses that belong to nobody (private, loopback, documentation,
//! multicast ..) are never looked up: test databases and mistakes would give them a country. Nothing is
//! downloaded; a missing file means no enrichment and is said once, a changed file is read again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use maxminddb::Reader;
use serde::Deserialize;

/// Where an address is, as far as the files know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Its owner.
    pub as_org: Option<String>,
}

/// A file that cannot be used. Core goes on without it.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the address database {path}")]
pub struct GeoError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// Both databases. Lookups take microseconds and a shared lock.
pub struct Geo {
    country: Source,
    asn: Source,
}

struct Source {
    path: Option<PathBuf>,
    loaded: RwLock<Loaded>,
}

#[derive(Default)]
struct Loaded {
    reader: Option<Arc<Reader<Vec<u8>>>>,
    seen: Option<(SystemTime, u64)>,
}

#[derive(Deserialize)]
struct CountryRow<'a> {
    #[serde(borrow, default)]
    country: Option<Iso<'a>>,
    #[serde(borrow, default)]
    registered_country: Option<Iso<'a>>,
    /// IPinfo's and some others' flat form.
    #[serde(borrow, default)]
    country_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Iso<'a> {
    #[serde(borrow, default)]
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct AsnRow<'a> {
    #[serde(default)]
    autonomous_system_number: Option<u32>,
    #[serde(borrow, default)]
    autonomous_system_organization: Option<&'a str>,
}

impl Geo {
    /// Remembers the paths; [`Geo::reload`] reads them.
    pub fn new(country: Option<PathBuf>, asn: Option<PathBuf>) -> Self {
        let source = |path| Source { path, loaded: RwLock::default() };
        Self { country: source(country), asn: source(asn) }
    }

    /// Reads files that are new or changed since the last call. Called at start and every minute; blocks.
    pub fn reload(&self) -> Vec<GeoError> {
        [&self.country, &self.asn].into_iter().filter_map(|source| source.reload().err()).collect()
    }

    /// What is known about `ip`. Empty for reserved addresses and without files.
    pub fn lookup(&self, ip: IpAddr) -> Place {
        let mut place = Place::default();
        if is_reserved(ip) {
            return place;
        }
        if let Some(reader) = self.country.reader()
            && let Some(row) =
                reader.lookup(ip).ok().and_then(|found| found.decode::<CountryRow<'_>>().ok().flatten())
        {
            let code = row
                .country
                .and_then(|country| country.iso_code)
                .or_else(|| row.registered_country.and_then(|country| country.iso_code))
                .or(row.country_code);
            place.country = code.filter(|code| code.len() == 2).map(str::to_ascii_uppercase);
        }
        if let Some(reader) = self.asn.reader()
            && let Some(row) =
                reader.lookup(ip).ok().and_then(|found| found.decode::<AsnRow<'_>>().ok().flatten())
        {
            place.asn = row.autonomous_system_number;
            place.as_org = row.autonomous_system_organization.map(str::to_owned);
        }
        place
    }
}

impl Source {
    fn reader(&self) -> Option<Arc<Reader<Vec<u8>>>> {
        self.loaded.read().unwrap_or_else(std::sync::PoisonError::into_inner).reader.clone()
    }

    fn reload(&self) -> Result<(), GeoError> {
        let Some(path) = &self.path else { return Ok(()) };
        let error = |cause| GeoError { path: path.clone(), cause };
        let seen = stat(path).map_err(|cause| error(Box::new(cause)));
        let mut loaded = self.loaded.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seen = match seen {
            Ok(seen) if loaded.seen == Some(seen) => return Ok(()),
            Ok(seen) => seen,
            Err(gone) => {
                // Said once, when it disappears or was never there.
                let news = loaded.reader.take().is_some() || loaded.seen.take().is_some();
                loaded.seen = None;
                return if news { Err(gone) } else { Ok(()) };
            }
        };
        loaded.seen = Some(seen);
        let reader = Reader::open_readfile(path).map_err(|cause| error(Box::new(cause)))?;
        loaded.reader = Some(Arc::new(reader));
        Ok(())
    }
}

fn stat(path: &Path) -> std::io::Result<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

/// True for addresses that no country owns (RFC 6890 and its updates).
pub fn is_reserved(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => reserved_v4(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| reserved_v6(v6), reserved_v4),
    }
}

fn reserved_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn reserved_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
        || (a == 0x2001 && b == 0x0db8)
        || (a == 0x3fff && b < 0x1000)
        || (a == 0x0100 && b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ranges_are_told_from_public_addresses() {
        for ip in [
            "10.1.2.3",
            "127.0.0.1",
            "192.168.1.1",
            "172.31.0.1",
            "169.254.0.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.9",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "2001:db8::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_reserved(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            assert!(!is_reserved(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn without_files_there_is_no_enrichment_and_a_missing_one_does_not_repeat_its_error() {
        let dir = tempfile::tempdir().unwrap();
        let geo = Geo::new(Some(dir.path().join("none.mmdb")), None);
        assert!(geo.reload().is_empty());
        assert_eq!(geo.lookup("1.1.1.1".parse().unwrap()), Place::default());
    }

    #[test]
    fn a_damaged_file_is_said_once_and_again_only_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.mmdb");
        std::fs::write(&path, "not a database").unwrap();
        let geo = Geo::new(None, Some(path.clone()));
        assert_eq!(geo.reload().len(), 1);
        assert!(geo.reload().is_empty());
        std::fs::write(&path, "still not a database").unwrap();
        assert_eq!(geo.reload().len(), 1);
        assert_eq!(geo.lookup("1.1.1.1".parse().unwrap()), Place::default());
    }
}
