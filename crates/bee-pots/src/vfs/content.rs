//! What is inside a file: bytes, a made-up program image, zeros, or text computed at the time of reading.

use super::limits::READ_BYTES_MAX;
use crate::persona::{Arch, Live, Persona};
use std::sync::Arc;

/// Content of a regular file.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes of a file of the base tree that every persona shares.
    Static(&'static [u8]),
    /// Bytes.
    Bytes(Arc<Vec<u8>>),
    /// A made-up program: an ELF header of the persona's architecture and filler that depends on the seed.
    Program {
        /// Size in bytes.
        size: u32,
        /// What its filler depends on.
        seed: u32,
    },
    /// This many zero bytes, which cost no memory.
    Zeros(u64),
    /// Text computed when it is read.
    Live(Live),
}

/// A device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Block rather than character device.
    pub block: bool,
    /// Major number.
    pub major: u16,
    /// Minor number.
    pub minor: u16,
}

impl Device {
    /// `/dev/null`.
    pub const NULL: Device = Device { block: false, major: 1, minor: 3 };
    /// `/dev/zero`.
    pub const ZERO: Device = Device { block: false, major: 1, minor: 5 };
    /// `/dev/urandom`.
    pub const URANDOM: Device = Device { block: false, major: 1, minor: 9 };

    /// Whether reads never end.
    #[must_use]
    pub fn is_endless(self) -> bool {
        self == Device::ZERO || self == Device::URANDOM || self.block || (self.major == 1 && self.minor == 8)
    }

    /// What a read returns, cut where an endless device would go on.
    pub(super) fn bytes(self, persona: &Persona) -> Vec<u8> {
        if self == Device::ZERO || self.block {
            vec![0; READ_BYTES_MAX]
        } else if self.is_endless() {
            noise(persona.draw("urandom"), READ_BYTES_MAX)
        } else {
            Vec::new()
        }
    }
}

impl Content {
    /// An empty file.
    #[must_use]
    pub fn empty() -> Content {
        Content::Static(b"")
    }

    /// Size as `stat` shows it: `/proc` files have none.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Content::Static(bytes) => bytes.len() as u64,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Program { size, .. } => u64::from(*size),
            Content::Zeros(size) => *size,
            Content::Live(_) => 0,
        }
    }

    /// The bytes, cut at [`READ_BYTES_MAX`] where they are made up.
    #[must_use]
    pub fn bytes(&self, persona: &Persona, now: i64) -> Arc<Vec<u8>> {
        match self {
            Content::Static(bytes) => Arc::new(bytes.to_vec()),
            Content::Bytes(bytes) => bytes.clone(),
            Content::Program { size, seed } => Arc::new(program(persona.distro.arch, *size as usize, *seed)),
            Content::Zeros(size) => {
                Arc::new(vec![0; usize::try_from(*size).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX)])
            }
            Content::Live(live) => Arc::new(persona.live(*live, now).into_bytes()),
        }
    }
}

/// A plausible program image. Worms read the first 20 bytes to choose their payload, so the header is right.
fn program(arch: Arch, size: usize, seed: u32) -> Vec<u8> {
    let size = size.min(READ_BYTES_MAX);
    let mut image = match arch {
        Arch::X86_64 => header64(size as u64),
        Arch::Arm => header32(40, false, 0x0500_0002, size as u32),
        Arch::Mips => header32(8, true, 0x7000_1007, size as u32),
    };
    let loader: &[u8] = match arch {
        Arch::X86_64 => b"/lib64/ld-linux-x86-64.so.2\0libc.so.6\0__libc_start_main\0GLIBC_2.2.5\0",
        Arch::Arm | Arch::Mips => b"/lib/ld-uClibc.so.0\0libc.so.0\0__uClibc_main\0_start\0",
    };
    image.extend_from_slice(loader);
    image.extend(noise(u64::from(seed) | 1 << 40, size.saturating_sub(image.len())));
    image.truncate(size);
    image
}

fn header64(size: u64) -> Vec<u8> {
    let mut h = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    h.extend(3u16.to_le_bytes());
    h.extend(62u16.to_le_bytes());
    h.extend(1u32.to_le_bytes());
    h.extend(0x6ab0u64.to_le_bytes());
    h.extend(64u64.to_le_bytes());
    h.extend(size.saturating_sub(1856).to_le_bytes());
    h.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 13, 64, 29, 28] {
        h.extend(half.to_le_bytes());
    }
    h
}

fn header32(machine: u16, big_endian: bool, flags: u32, size: u32) -> Vec<u8> {
    let mut h = b"\x7fELF\x01".to_vec();
    h.extend([if big_endian { 2 } else { 1 }, 1]);
    h.extend([0; 9]);
    let half = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let word = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    h.extend(half(2));
    h.extend(half(machine));
    for value in [1, 0x0040_0260, 52, size.saturating_sub(960), flags] {
        h.extend(word(value));
    }
    for value in [52, 32, 7, 40, 24, 23] {
        h.extend(half(value));
    }
    h
}

/// Deterministic filler.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
