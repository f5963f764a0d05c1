//! Archives: plausible answers; nothing is packed or unpacked.

use super::Ctx;
use crate::shell::exec::Run;

pub(super) fn archive(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let name = c.name.clone();
    let options = c.options(if name == "tar" { "f C file directory" } else { "d" });
    // `tar xzf file`: the letters come without a dash.
    let mut operands = options.operands.clone();
    let mut file = options.value("f file").map(str::to_owned);
    if name == "tar"
        && file.is_none()
        && operands.first().is_some_and(|o| o.len() < 8 && o.contains(['x', 'c', 't']))
    {
        operands.remove(0);
        file = (!operands.is_empty()).then(|| operands.remove(0));
    }
    let file = if name == "tar" { file } else { operands.first().cloned() };
    let Some(file) = file else {
        let text = match name.as_str() {
            "tar" => {
                "You must specify one of the '-Acdtrux', '--delete' or '--test-label' options\nTry 'tar --help' or 'tar --usage' for more information."
            }
            "unzip" => {
                "UnZip 6.00 of 20 April 2009, by Info-ZIP.\nUsage: unzip [-opts[modifiers]] file[.zip] [list] [-x xlist] [-d exdir]"
            }
            _ => {
                "compressed data not written to a terminal. Use -f to force compression.\nFor help, type: gzip -h"
            }
        };
        return c.fail(text, if name == "tar" { 2 } else { 1 });
    };
    let found = c.read(&file)?;
    match (name.as_str(), found) {
        ("unzip", Err(_)) => c.fail(format!(" cannot find or open {file}, {file}.zip or {file}.ZIP."), 9),
        ("tar", Err(_)) if c.texts().first().is_some_and(|o| o.contains('c')) => Ok(0),
        ("tar", Err(error)) => {
            c.fail(format!("{file}: Cannot open: {}", error.text()), 2)?;
            c.fail("Error is not recoverable: exiting now", 2)
        }
        (_, Err(error)) => c.fail(format!("{file}: {}", error.text()), 1),
        ("tar", Ok(data)) if !data.starts_with(b"\x1f\x8b") && data.get(257..262) != Some(b"ustar") => {
            c.err("\ngzip: stdin: not in gzip format\n")?;
            c.fail("Child returned status 1", 2)?;
            c.fail("Error is not recoverable: exiting now", 2)
        }
        ("gunzip" | "zcat", Ok(data)) if !data.starts_with(b"\x1f\x8b") => {
            c.fail(format!("{file}: not in gzip format"), 1)
        }
        ("unzip", Ok(data)) if !data.starts_with(b"PK") => {
            c.err(format!("Archive:  {file}\n  End-of-central-directory signature not found.  Either this file is not\n  a zipfile, or it constitutes one disk of a multi-part archive.\n"))?;
            Ok(9)
        }
        _ => Ok(0),
    }
}
