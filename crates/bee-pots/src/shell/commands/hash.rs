//! Checksums and base64.

use super::Ctx;
use crate::shell::exec::Run;
use data_encoding::{BASE64, HEXLOWER, Specification};
use sha2::{Digest, Sha256, Sha512};

fn digest(name: &str, data: &[u8]) -> String {
    match name {
        "md5sum" => format!("{:x}", md5::compute(data)),
        "sha1sum" => HEXLOWER
            .encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref()),
        "sha512sum" => HEXLOWER.encode(&Sha512::digest(data)),
        _ => HEXLOWER.encode(&Sha256::digest(data)),
    }
}

pub(super) fn sum(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let (inputs, fine) = c.inputs(&options.operands)?;
    for (path, data) in inputs {
        c.i.work(data.len() * 4)?;
        let line = format!("{}  {path}\n", digest(&c.name, &data));
        c.out(line)?;
    }
    Ok(i32::from(!fine))
}

/// Decodes base64 like the tool: line ends are skipped.
pub(super) fn decode(data: &[u8]) -> Option<Vec<u8>> {
    let mut specification = Specification::new();
    specification.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    specification.padding = Some('=');
    specification.ignore.push_str("\r\n");
    specification.encoding().ok()?.decode(data).ok()
}

pub(super) fn base64(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("w wrap");
    let (inputs, fine) = c.inputs(&options.operands)?;
    let width = options.value("w wrap").and_then(|w| w.parse::<usize>().ok()).unwrap_or(76);
    for (_, data) in inputs {
        c.i.work(data.len() * 2)?;
        if options.has("d D decode") {
            match decode(&data) {
                Some(bytes) => c.out(bytes)?,
                None => return c.fail("invalid input", 1),
            }
            continue;
        }
        let text = BASE64.encode(&data);
        if width == 0 {
            c.out(text)?;
            continue;
        }
        for line in text.as_bytes().chunks(width) {
            c.out([line, b"\n"].concat())?;
        }
    }
    Ok(i32::from(!fine))
}

pub(super) fn openssl(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    let text = match args.first().map(String::as_str) {
        Some("version") => {
            let version = c.persona().distro.ssh_version.split_once(", ").map_or("", |(_, v)| v);
            format!("{version}\n")
        }
        Some("base64" | "enc") if args.iter().any(|a| a == "-d") => {
            let data = c.stdin()?;
            c.out(decode(&data).unwrap_or_default())?;
            return Ok(0);
        }
        Some("passwd") => format!("$1${:08x}${:016x}abcdef\n", c.i.st.draw() & 0xffff_ffff, c.i.st.draw()),
        _ => return c.fail("Error: no command given", 1),
    };
    c.out(text)?;
    Ok(0)
}
