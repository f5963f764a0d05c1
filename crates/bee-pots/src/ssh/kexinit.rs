//! Reads a client's KEXINIT (RFC 4253 section 7.1) for its fingerprint, HASSH.
//!
//! Own parser because russh does not show the raw lists: it sees the bytes that the client really sent, bounded, before
//! russh does. Answers "more bytes needed", "not a KEXINIT" or the lists; never panics (fuzz target `ssh_kexinit`).

use data_encoding::HEXLOWER;

use crate::limits::KEXINIT_MAX;

/// SSH_MSG_KEXINIT.
const MSG_KEXINIT: u8 = 20;
/// SSH_MSG_IGNORE and SSH_MSG_DEBUG, which may come before it.
const MSG_BEFORE: [u8; 2] = [2, 4];
/// Packets looked at before giving up.
const PACKETS_MAX: usize = 8;

/// The name lists of a KEXINIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KexInit {
    /// Key exchange algorithms.
    pub kex: String,
    /// Host key algorithms.
    pub host_key: String,
    /// Ciphers, client to server.
    pub ciphers: String,
    /// MACs, client to server.
    pub macs: String,
    /// Compression, client to server.
    pub compression: String,
    /// Languages, client to server.
    pub languages: String,
}

/// The outcome of a look at the first bytes after the identification line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed to tell.
    Incomplete,
    /// This is no KEXINIT and will not become one.
    Invalid,
    /// The client's lists.
    Found(Box<KexInit>),
}

impl KexInit {
    /// Looks for the KEXINIT in the plaintext packets at the start of `bytes`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Parsed {
        let mut rest = bytes;
        for _ in 0..PACKETS_MAX {
            let Some((length, after)) = take_u32(rest) else { return Parsed::Incomplete };
            let length = length as usize;
            // A packet holds at least the padding length, one byte of payload and four of padding.
            if !(6..=KEXINIT_MAX).contains(&length) {
                return Parsed::Invalid;
            }
            let Some((packet, next)) = after.split_at_checked(length) else {
                return if after
                    .get(1)
                    .is_some_and(|message| *message != MSG_KEXINIT && !MSG_BEFORE.contains(message))
                {
                    Parsed::Invalid
                } else {
                    Parsed::Incomplete
                };
            };
            let Some(payload) = payload(packet) else { return Parsed::Invalid };
            match payload.split_first() {
                Some((&MSG_KEXINIT, body)) => {
                    return lists(body).map_or(Parsed::Invalid, |found| Parsed::Found(Box::new(found)));
                }
                Some((message, _)) if MSG_BEFORE.contains(message) => rest = next,
                _ => return Parsed::Invalid,
            }
        }
        Parsed::Invalid
    }

    /// The text that HASSH is computed from.
    #[must_use]
    pub fn hassh_algorithms(&self) -> String {
        format!("{};{};{};{}", self.kex, self.ciphers, self.macs, self.compression)
    }

    /// HASSH: the MD5 of [`KexInit::hassh_algorithms`], in hexadecimal.
    #[must_use]
    pub fn hassh(&self) -> String {
        HEXLOWER.encode(&md5::compute(self.hassh_algorithms()).0)
    }
}

/// A name list as a list.
pub fn names(list: &str) -> Vec<&str> {
    list.split(',').collect()
}

fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = packet.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

fn lists(body: &[u8]) -> Option<KexInit> {
    let mut rest = body.get(16..)?;
    let mut next = || {
        let (length, after) = take_u32(rest)?;
        let (list, next) = after.split_at_checked(length as usize)?;
        rest = next;
        Some(String::from_utf8_lossy(list).into_owned())
    };
    let (kex, host_key) = (next()?, next()?);
    let (ciphers, _) = (next()?, next()?);
    let (macs, _) = (next()?, next()?);
    let (compression, _) = (next()?, next()?);
    let languages = next()?;
    Some(KexInit { kex, host_key, ciphers, macs, compression, languages })
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A KEXINIT packet with these lists (client to server and back alike).
    fn packet(lists: [&str; 5]) -> Vec<u8> {
        let [kex, key, cipher, mac, compression] = lists;
        let mut payload = vec![MSG_KEXINIT];
        payload.extend([7; 16]);
        for list in [kex, key, cipher, cipher, mac, mac, compression, compression, "", ""] {
            payload.extend((list.len() as u32).to_be_bytes());
            payload.extend(list.as_bytes());
        }
        payload.extend([0; 5]);
        framed(&payload)
    }

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut packet = ((payload.len() + 1 + 4) as u32).to_be_bytes().to_vec();
        packet.push(4);
        packet.extend(payload);
        packet.extend([0; 4]);
        packet
    }

    const LISTS: [&str; 5] =
        ["curve25519-sha256,ext-info-c", "ssh-ed25519", "aes128-ctr", "hmac-sha2-256", "none,zlib"];

    #[test]
    fn the_lists_and_the_fingerprint_are_read() {
        let Parsed::Found(found) = KexInit::parse(&packet(LISTS)) else { panic!("not found") };
        assert_eq!(found.host_key, "ssh-ed25519");
        assert_eq!(names(&found.kex), ["curve25519-sha256", "ext-info-c"]);
        assert_eq!(
            found.hassh_algorithms(),
            "curve25519-sha256,ext-info-c;aes128-ctr;hmac-sha2-256;none,zlib"
        );
        // echo -n "<the line above>" | md5sum
        assert_eq!(
            found.hassh(),
            HEXLOWER
                .encode(&md5::compute("curve25519-sha256,ext-info-c;aes128-ctr;hmac-sha2-256;none,zlib").0)
        );
    }

    /// The lists of OpenSSH 9.2 on Debian 12 and the HASSH that Cowrie reported for it.
    #[test]
    fn openssh_has_the_hassh_that_others_compute() {
        let kex = "sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256,ext-info-c,kex-strict-c-v00@openssh.com";
        let cipher = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";
        let mac = "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1";
        let Parsed::Found(found) =
            KexInit::parse(&packet([kex, "ssh-ed25519", cipher, mac, "none,zlib@openssh.com,zlib"]))
        else {
            panic!("not found")
        };
        assert_eq!(found.hassh(), "472b5de333ad665af5cbf10ff892c4df");
    }

    #[test]
    fn every_prefix_is_incomplete_and_none_is_mistaken() {
        let packet = packet(LISTS);
        for end in 0..packet.len() {
            assert_eq!(KexInit::parse(&packet[..end]), Parsed::Incomplete, "at {end}");
        }
    }

    #[test]
    fn an_ignore_packet_may_come_first_but_not_for_ever() {
        let ignore = framed(&[2, 0, 0, 0, 0]);
        let bytes = [ignore.clone(), packet(LISTS)].concat();
        assert!(matches!(KexInit::parse(&bytes), Parsed::Found(_)));
        assert_eq!(KexInit::parse(&ignore.repeat(PACKETS_MAX)), Parsed::Invalid);
    }

    #[test]
    fn garbage_is_invalid() {
        let mut cut_list = packet(LISTS);
        cut_list[22..26].copy_from_slice(&u32::MAX.to_be_bytes());
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0xff; 64], &framed(&[30, 1, 2]), &cut_list]
        {
            assert_eq!(KexInit::parse(bytes), Parsed::Invalid, "{bytes:?}");
        }
    }
}
