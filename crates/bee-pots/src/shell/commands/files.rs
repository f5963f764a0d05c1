//! Commands that change the tree.

use super::Ctx;
use crate::shell::Effect;
use crate::shell::exec::Run;
use crate::vfs::{Content, Errno, Kind, OpenFlags, Origin, SetStat};

/// Files touched by one recursive command.
const TOUCHED_MAX: usize = 5000;

pub(super) fn cp(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut options = c.options("t m o g S");
    let target = match options.value("t") {
        Some(dir) => Some(dir.to_owned()),
        None => options.operands.pop(),
    };
    let Some(target) = target.filter(|_| !options.operands.is_empty()) else {
        let text = match options.operands.first() {
            Some(_) => "missing destination file operand".to_owned(),
            None => "missing file operand".to_owned(),
        };
        return c.fail(format!("{text}\nTry '{} --help' for more information.", c.name), 1);
    };
    let (cwd, cred) = (c.cwd(), c.cred());
    let into = c.i.vfs.stat(&cwd, &target).is_ok_and(|s| s.is_dir());
    let mut status = 0;
    for from in options.operands.clone() {
        c.i.step()?;
        let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or(&from).to_owned();
        let to = if into { format!("{}/{name}", target.trim_end_matches('/')) } else { target.clone() };
        let verb = if c.name == "mv" { "move" } else { "create regular file" };
        let result = match c.i.vfs.lstat(&cwd, &from) {
            Err(error) => {
                status = c.fail(format!("cannot stat '{from}': {}", error.text()), 1)?;
                continue;
            }
            Ok(_) if c.name == "mv" => c.i.vfs.rename(&cwd, &from, &to, cred),
            Ok(s) if s.is_dir() && !options.has("r R a recursive") => {
                status = c.fail(format!("-r not specified; omitting directory '{from}'"), 1)?;
                continue;
            }
            Ok(s) if s.is_dir() => copy_tree(c, &from, &to)?,
            Ok(_) => copy(c, &from, &to),
        };
        if let Err(error) = result {
            status = c.fail(format!("cannot {verb} '{to}': {}", error.text()), 1)?;
        }
    }
    Ok(status)
}

fn copy(c: &mut Ctx<'_, '_>, from: &str, to: &str) -> Result<(), Errno> {
    let (cwd, cred) = (c.cwd(), c.cred());
    let handle = c.i.vfs.open(&cwd, from, OpenFlags::READ, cred, Origin::Command)?;
    let node = c.i.vfs.node(handle.id).ok_or(Errno::NoEntry)?;
    let mode = node.mode;
    let content = match &node.kind {
        Kind::File(Content::Live(_)) | Kind::Device(_) => Content::Bytes(c.i.vfs.read_id(handle.id)?),
        Kind::File(content) => content.clone(),
        _ => return Err(Errno::Invalid),
    };
    let exists = c.i.vfs.stat(&cwd, to).is_ok();
    c.i.vfs.put_content(&cwd, to, content, (!exists).then_some(mode), cred)
}

fn copy_tree(c: &mut Ctx<'_, '_>, from: &str, to: &str) -> Run<Result<(), Errno>> {
    let (cwd, cred) = (c.cwd(), c.cred());
    let mut todo = vec![(from.to_owned(), to.to_owned())];
    let mut count = 0;
    while let Some((from, to)) = todo.pop() {
        c.i.step()?;
        count += 1;
        if count > TOUCHED_MAX
            || crate::vfs::normalise(&cwd, &to)
                .starts_with(&format!("{}/", crate::vfs::normalise(&cwd, &from)))
        {
            return Ok(Err(Errno::NoSpace));
        }
        let result = match c.i.vfs.lstat(&cwd, &from) {
            Ok(s) if s.is_dir() => {
                let made = c.i.vfs.mkdir(&cwd, &to, 0o755, cred);
                for (name, _) in c.i.vfs.list_id(s.id).unwrap_or_default() {
                    todo.push((format!("{from}/{name}"), format!("{to}/{name}")));
                }
                if made == Err(Errno::Exists) { Ok(()) } else { made }
            }
            Ok(s) if s.is_link() => {
                c.i.vfs.readlink(&cwd, &from).and_then(|t| c.i.vfs.symlink(&cwd, &t, &to, cred))
            }
            Ok(_) => copy(c, &from, &to),
            Err(error) => Err(error),
        };
        if result.is_err() {
            return Ok(result);
        }
    }
    Ok(Ok(()))
}

pub(super) fn rm(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("n");
    let force = options.has("f force");
    if options.operands.is_empty() {
        return if force {
            Ok(0)
        } else {
            c.fail(format!("missing operand\nTry '{} --help' for more information.", c.name), 1)
        };
    }
    if c.name == "shred" && !options.has("u") {
        return Ok(0);
    }
    let recursive = options.has("r R recursive");
    let mut status = 0;
    for path in options.operands.clone() {
        let full = crate::vfs::normalise(&c.cwd(), &path);
        if full == "/" && !options.has("no-preserve-root") && recursive {
            c.fail("it is dangerous to operate recursively on '/'", 1)?;
            status = c.fail("use --no-preserve-root to override this failsafe", 1)?;
            continue;
        }
        if path.ends_with("/.") || path.ends_with("/..") || path == "." || path == ".." {
            status = c.fail(format!("refusing to remove '.' or '..' directory: skipping '{path}'"), 1)?;
            continue;
        }
        let (cwd, cred) = (c.cwd(), c.cred());
        let result = match c.i.vfs.lstat(&cwd, &path) {
            Err(Errno::NoEntry) if force => Ok(()),
            Err(error) => Err(error),
            Ok(s) if s.is_dir() && !recursive => Err(Errno::IsDir),
            Ok(s) if s.is_dir() => remove_tree(c, &path)?,
            Ok(s) => {
                if let Some(written) = c.i.vfs.take_written_id(s.id) {
                    c.effect(Effect::FileWritten(written));
                }
                c.i.vfs.remove(&cwd, &path, cred)
            }
        };
        if let Err(error) = result {
            status = c.fail(format!("cannot remove '{path}': {}", error.text()), 1)?;
        }
    }
    Ok(status)
}

/// Removes a directory: what the attacker wrote in it is reported, and the directory's name goes.
fn remove_tree(c: &mut Ctx<'_, '_>, path: &str) -> Run<Result<(), Errno>> {
    let (cwd, cred) = (c.cwd(), c.cred());
    let (mut todo, mut dirs, mut count, mut failed) = (vec![path.to_owned()], Vec::new(), 0, None);
    while let Some(path) = todo.pop() {
        count += 1;
        c.i.work(256)?;
        if count > TOUCHED_MAX {
            return Ok(Err(Errno::NotEmpty));
        }
        let Ok(stat) = c.i.vfs.lstat(&cwd, &path) else { continue };
        if stat.is_dir() {
            todo.extend(
                c.i.vfs.list_id(stat.id).unwrap_or_default().into_iter().map(|(n, _)| format!("{path}/{n}")),
            );
            dirs.push(path);
            continue;
        }
        if let Some(written) = c.i.vfs.take_written_id(stat.id) {
            c.effect(Effect::FileWritten(written));
        }
        if let Err(error) = c.i.vfs.remove(&cwd, &path, cred) {
            failed.get_or_insert(error);
        }
    }
    for dir in dirs.into_iter().rev() {
        if let Err(error) = c.i.vfs.rmdir(&cwd, &dir, cred) {
            failed.get_or_insert(error);
        }
    }
    Ok(failed.map_or(Ok(()), Err))
}

pub(super) fn mkdir(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("m mode");
    let (cwd, cred) = (c.cwd(), c.cred());
    let mode = options.value("m mode").and_then(|m| u16::from_str_radix(m, 8).ok()).unwrap_or(0o755);
    let mut status = 0;
    if options.operands.is_empty() {
        return c.fail("missing operand\nTry 'mkdir --help' for more information.", 1);
    }
    for path in options.operands.clone() {
        c.i.step()?;
        let parents = options.has("p parents");
        if parents {
            for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0).take(64) {
                let _ = c.i.vfs.mkdir(&cwd, path.get(..at).unwrap_or_default(), 0o755, cred);
            }
        }
        match c.i.vfs.mkdir(&cwd, &path, mode, cred) {
            Err(Errno::Exists) if parents => {}
            Err(error) => {
                status = c.fail(format!("cannot create directory '{path}': {}", error.text()), 1)?
            }
            Ok(()) => {}
        }
    }
    Ok(status)
}

pub(super) fn rmdir(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (cwd, cred, mut status) = (c.cwd(), c.cred(), 0);
    for path in c.options("").operands {
        if let Err(error) = c.i.vfs.rmdir(&cwd, &path, cred) {
            status = c.fail(format!("failed to remove '{path}': {}", error.text()), 1)?;
        }
    }
    Ok(status)
}

pub(super) fn touch(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("d t r date reference");
    let (cwd, cred, mut status) = (c.cwd(), c.cred(), 0);
    let time = match options.value("r reference") {
        Some(other) => c.i.vfs.stat(&cwd, other).map_or(c.now(), |s| s.mtime),
        None => c.now(),
    };
    for path in options.operands.clone() {
        c.i.step()?;
        let flags = OpenFlags { write: true, create: !options.has("c"), ..OpenFlags::default() };
        let result = match c.i.vfs.stat(&cwd, &path) {
            Ok(_) => Ok(()),
            Err(_) => c.i.vfs.open(&cwd, &path, flags, cred, Origin::Command).map(|_| ()),
        };
        let result = result.and_then(|()| {
            c.i.vfs.setstat(&cwd, &path, SetStat { mtime: Some(time), ..SetStat::default() }, cred)
        });
        if let Err(error) = result {
            status = c.fail(format!("cannot touch '{path}': {}", error.text()), 1)?;
        }
    }
    Ok(status)
}

pub(super) fn ln(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("t S");
    let (cwd, cred) = (c.cwd(), c.cred());
    let Some(target) = options.operands.first().cloned() else { return c.fail("missing file operand", 1) };
    let name = target.trim_end_matches('/').rsplit('/').next().unwrap_or(&target).to_owned();
    let mut path = options.operands.get(1).cloned().unwrap_or_else(|| name.clone());
    if c.i.vfs.stat(&cwd, &path).is_ok_and(|s| s.is_dir()) && !options.has("n T") {
        path = format!("{}/{name}", path.trim_end_matches('/'));
    }
    if options.has("f force") {
        let _ = c.i.vfs.remove(&cwd, &path, cred);
    }
    let symbolic = options.has("s symbolic");
    let result = if symbolic {
        c.i.vfs.symlink(&cwd, &target, &path, cred)
    } else {
        c.i.vfs.link(&cwd, &target, &path, cred)
    };
    match result {
        Ok(()) => Ok(0),
        Err(error) => {
            let kind = if symbolic { "symbolic" } else { "hard" };
            c.fail(format!("failed to create {kind} link '{path}': {}", error.text()), 1)
        }
    }
}

/// `755`, `+x`, `u+rwx,go-w`, applied to a mode.
fn new_mode(old: u16, text: &str) -> Option<u16> {
    if text.chars().all(|ch| ch.is_ascii_digit()) {
        return u16::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777);
    }
    let mut mode = old;
    for part in text.split(',').take(16) {
        let at = part.find(['+', '-', '='])?;
        let (who, rest) = part.split_at(at);
        let (sign, what) = rest.split_at(1);
        let mask = if who.is_empty() || who.contains('a') {
            0o777
        } else {
            who.chars().fold(0, |m, w| {
                m | match w {
                    'u' => 0o700,
                    'g' => 0o070,
                    'o' => 0o007,
                    _ => 0,
                }
            })
        };
        let mut bits = what.chars().try_fold(0_u16, |b, w| {
            Some(
                b | match w {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' | 'X' => 0o111,
                    's' | 't' => 0,
                    _ => return None,
                },
            )
        })? & mask;
        if what.contains('s') {
            bits |= 0o4000;
        }
        mode = match sign {
            "+" => mode | bits,
            "-" => mode & !bits,
            _ => mode & !mask | bits,
        };
    }
    Some(mode)
}

pub(super) fn chmod(c: &mut Ctx<'_, '_>) -> Run<i32> {
    // `chmod -x file` is a mode and not an option.
    let args = c.texts();
    let recursive = args.iter().any(|a| a == "-R" || a == "--recursive");
    let mut operands =
        args.into_iter().filter(|a| !matches!(a.as_str(), "-R" | "--recursive" | "-f" | "-v" | "-c" | "--"));
    let (Some(mode), paths) = (operands.next(), operands.collect::<Vec<_>>()) else {
        return c.fail("missing operand\nTry 'chmod --help' for more information.", 1);
    };
    if paths.is_empty() {
        return c
            .fail(format!("missing operand after '{mode}'\nTry 'chmod --help' for more information."), 1);
    }
    each(
        c,
        paths,
        recursive,
        |old| Some(SetStat { mode: Some(new_mode(old, &mode)?), ..SetStat::default() }),
        &format!("invalid mode: '{mode}'"),
    )
}

pub(super) fn chown(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut options = c.options("");
    if options.operands.len() < 2 {
        return c.fail("missing operand", 1);
    }
    let spec = options.operands.remove(0);
    let persona = c.persona();
    let (user, group) = spec.split_once([':', '.']).unwrap_or((&spec, ""));
    let id = |name: &str| name.parse().ok().or_else(|| persona.user(name).map(|u| u.uid));
    let change = if c.name == "chgrp" {
        SetStat { gid: id(user), ..SetStat::default() }
    } else {
        SetStat { uid: id(user), gid: id(group), ..SetStat::default() }
    };
    if !user.is_empty() && change.uid.is_none() && change.gid.is_none() {
        return c.fail(format!("invalid user: '{spec}'"), 1);
    }
    each(c, options.operands.clone(), options.has("R recursive"), |_| Some(change), "")
}

fn each(
    c: &mut Ctx<'_, '_>,
    paths: Vec<String>,
    recursive: bool,
    change: impl Fn(u16) -> Option<SetStat>,
    invalid: &str,
) -> Run<i32> {
    let (cwd, cred, mut status, mut count) = (c.cwd(), c.cred(), 0, 0);
    let mut todo: Vec<String> = paths.into_iter().rev().collect();
    while let Some(path) = todo.pop() {
        count += 1;
        c.i.work(256)?;
        if count > TOUCHED_MAX {
            break;
        }
        let stat = match c.i.vfs.stat(&cwd, &path) {
            Ok(stat) => stat,
            Err(error) => {
                status = c.fail(format!("cannot access '{path}': {}", error.text()), 1)?;
                continue;
            }
        };
        let Some(change) = change((stat.mode & 0o7777) as u16) else { return c.fail(invalid, 1) };
        if let Err(error) = c.i.vfs.setstat(&cwd, &path, change, cred) {
            let verb =
                if change.mode.is_some() { "changing permissions of" } else { "changing ownership of" };
            status = c.fail(format!("{verb} '{path}': {}", error.text()), 1)?;
        }
        if recursive && stat.is_dir() {
            todo.extend(
                c.i.vfs.list_id(stat.id).unwrap_or_default().into_iter().map(|(n, _)| format!("{path}/{n}")),
            );
        }
    }
    Ok(status)
}

pub(super) fn chattr(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut status = 0;
    for path in c.texts().into_iter().filter(|a| !a.starts_with(['-', '+', '='])) {
        if c.i.vfs.lstat(&c.cwd(), &path).is_err() {
            status = c.fail(format!("No such file or directory while trying to stat {path}"), 1)?;
        }
    }
    Ok(status)
}

pub(super) fn lsattr(c: &mut Ctx<'_, '_>) -> Run<i32> {
    for path in c.options("").operands {
        match c.i.vfs.lstat(&c.cwd(), &path) {
            Ok(_) => c.out(format!("--------------e------- {path}\n"))?,
            Err(error) => {
                c.fail(format!("{} while trying to stat {path}", error.text()), 1)?;
            }
        }
    }
    Ok(0)
}

pub(super) fn mktemp(c: &mut Ctx<'_, '_>) -> Run<i32> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let options = c.options("p suffix");
    let template = options.operands.first().cloned().unwrap_or_else(|| "/tmp/tmp.XXXXXXXXXX".to_owned());
    let stem = template.trim_end_matches('X').to_owned();
    let mut path = stem.clone();
    for _ in 0..template.len() - stem.len() {
        let n = (c.i.st.draw() % LETTERS.len() as u64) as usize;
        path.push(char::from(LETTERS.get(n).copied().unwrap_or(b'x')));
    }
    let (cwd, cred) = (c.cwd(), c.cred());
    let result = if options.has("d") {
        c.i.vfs.mkdir(&cwd, &path, 0o700, cred)
    } else {
        c.i.vfs.open(&cwd, &path, OpenFlags::REPLACE, cred, Origin::Command).map(|_| ())
    };
    match result {
        Ok(()) => c.out(format!("{path}\n")).map(|()| 0),
        Err(error) => c.fail(format!("failed to create file via template '{template}': {}", error.text()), 1),
    }
}

pub(super) fn truncate(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("s l size length");
    let (cwd, cred) = (c.cwd(), c.cred());
    let size = options.value("s l size length").map_or(0, size);
    for path in options.operands.clone() {
        let result = c.i.vfs.put_content(
            &cwd,
            &path,
            if size == 0 { Content::empty() } else { Content::Zeros(size) },
            None,
            cred,
        );
        if let Err(error) = result {
            return c.fail(format!("cannot open '{path}' for writing: {}", error.text()), 1);
        }
    }
    Ok(0)
}

/// `10`, `4k`, `1M`.
pub(super) fn size(text: &str) -> u64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = match text.chars().nth(digits.len()) {
        Some('k' | 'K') => 1 << 10,
        Some('m' | 'M') => 1 << 20,
        Some('g' | 'G') => 1 << 30,
        _ => 1,
    };
    digits.parse::<u64>().unwrap_or(0).saturating_mul(unit).min(1 << 40)
}

pub(super) fn basename(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let Some(path) = c.texts().first().cloned() else { return c.fail("missing operand", 1) };
    let trimmed = path.trim_end_matches('/');
    let (dir, name) = trimmed.rsplit_once('/').unwrap_or((".", trimmed));
    let text = match c.name.as_str() {
        "dirname" => if dir.is_empty() { "/" } else { dir }.to_owned(),
        _ => name.strip_suffix(c.texts().get(1).map_or("\0", String::as_str)).unwrap_or(name).to_owned(),
    };
    c.out(format!("{text}\n"))?;
    Ok(0)
}
