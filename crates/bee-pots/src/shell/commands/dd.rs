//! `dd`: worms read program headers with it, others measure the disk.

use super::Ctx;
use super::files::size;
use crate::shell::exec::Run;
use crate::vfs::Content;

pub(super) fn dd(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    let get = |name: &str| args.iter().find_map(|a| a.strip_prefix(name)?.strip_prefix('='));
    let block = get("bs").or(get("ibs")).map_or(512, size).clamp(1, 1 << 30);
    let count = get("count").map(size);
    let skip = get("skip").map_or(0, size).saturating_mul(block);
    let (cwd, cred) = (c.cwd(), c.cred());
    let wanted = count.map(|n| n.saturating_mul(block));
    // A disk speed test writes zeros by the gigabyte: only their number is kept.
    if get("if") == Some("/dev/zero")
        && let (Some(path), Some(bytes)) = (get("of"), wanted)
    {
        let result = c.i.vfs.put_content(&cwd, path, Content::Zeros(bytes), None, cred);
        if let Err(error) = result {
            return c.fail(format!("failed to open '{path}': {}", error.text()), 1);
        }
        c.i.delay_ms += bytes / 300_000;
        return report(c, bytes, block);
    }
    let data = match get("if") {
        Some(path) => {
            let path = path.to_owned();
            match c.read(&path)? {
                Ok(data) => data,
                Err(error) => {
                    let text = if c.is_device() {
                        format!("can't open '{path}': {}", error.text())
                    } else {
                        format!("failed to open '{path}': {}", error.text())
                    };
                    return c.fail(text, 1);
                }
            }
        }
        None => c.stdin()?,
    };
    let start = usize::try_from(skip).unwrap_or(usize::MAX).min(data.len());
    let len = usize::try_from(wanted.unwrap_or(u64::MAX)).unwrap_or(usize::MAX).min(data.len() - start);
    let part = data.get(start..start + len).unwrap_or_default();
    match get("of") {
        Some(path) => {
            let path = path.to_owned();
            if let Err(error) = c.write_file(&path, part, false)? {
                return c.fail(format!("failed to open '{path}': {}", error.text()), 1);
            }
        }
        None => c.out(part)?,
    }
    report(c, part.len() as u64, block)
}

fn report(c: &mut Ctx<'_, '_>, bytes: u64, block: u64) -> Run<i32> {
    let (whole, rest) = (bytes / block, u64::from(!bytes.is_multiple_of(block)));
    let seconds = (bytes as f64 / 312_000_000.0).max(0.000_214);
    let speed = bytes as f64 / seconds / 1e6;
    let text = if c.is_device() {
        format!("{whole}+{rest} records in\n{whole}+{rest} records out\n")
    } else {
        format!(
            "{whole}+{rest} records in\n{whole}+{rest} records out\n{bytes} bytes copied, {seconds:.6} s, {speed:.1} MB/s\n"
        )
    };
    c.err(text)?;
    Ok(0)
}
