//! Commands that describe files.

use super::Ctx;
use crate::shell::clock::strftime;
use crate::shell::exec::Run;
use crate::vfs::{Errno, Stat};

/// Files listed by one `ls -R`.
const LISTED_MAX: usize = 20_000;

/// Name of an owner.
pub(super) fn owner(c: &Ctx<'_, '_>, uid: u32) -> String {
    if let Some(user) = c.i.sys.persona().users.iter().find(|u| u.uid == uid) {
        return user.name.clone();
    }
    if uid == c.cred().uid { c.i.st.top().user.clone() } else { uid.to_string() }
}

fn group(c: &Ctx<'_, '_>, gid: u32) -> String {
    match gid {
        42 => "shadow".to_owned(),
        _ => {
            c.i.sys
                .persona()
                .users
                .iter()
                .find(|u| u.gid == gid && (u.uid == gid || u.gid == 0))
                .map_or_else(|| gid.to_string(), |u| u.name.clone())
        }
    }
}

/// `1.5K`, as `ls -h` and `du -h` write it.
pub(super) fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["", "K", "M", "G"] {
        if value < 1024.0 || unit == "G" {
            return if unit.is_empty() || value >= 10.0 {
                format!("{}{unit}", value.ceil())
            } else {
                format!("{value:.1}{unit}")
            };
        }
        value /= 1024.0;
    }
    String::new()
}

/// Columns of a long listing: inode, mode, links, user, group, size, time, name.
type Row = (String, String, String, String, String, String, String, String);

struct Entry {
    name: String,
    stat: Stat,
    target: Option<String>,
}

pub(super) fn ls(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("w I");
    if options.has("help") {
        return super::help::help(c);
    }
    if options.has("version") {
        let text = format!("ls (GNU coreutils) {}\n", c.persona().distro.coreutils);
        c.out(text)?;
        return Ok(0);
    }
    let operands = if options.operands.is_empty() { vec![".".to_owned()] } else { options.operands.clone() };
    let (mut files, mut dirs, mut status) = (Vec::new(), Vec::new(), 0);
    let (cwd, cred) = (c.cwd(), c.cred());
    for path in operands {
        let link = c.i.vfs.lstat(&cwd, &path);
        let stat = if options.has("l d") && !path.ends_with('/') {
            link
        } else {
            c.i.vfs.stat(&cwd, &path).or(link)
        };
        match stat {
            Ok(stat) if stat.is_dir() && !options.has("d") => dirs.push(path),
            Ok(stat) => files.push(entry(c, &path, &path, stat)),
            Err(error) => {
                let quoted = if c.is_device() { path.clone() } else { format!("cannot access '{path}'") };
                status = c.fail(format!("{quoted}: {}", error.text()), if c.is_device() { 1 } else { 2 })?;
            }
        }
    }
    let titled = dirs.len() + usize::from(!files.is_empty()) > 1 || options.has("R");
    if !files.is_empty() {
        show(c, &options, files, false)?;
    }
    let mut first = status == 0 || titled;
    dirs.reverse();
    let mut listed = 0;
    while let Some(dir) = dirs.pop() {
        let entries = match c.i.vfs.readdir(&cwd, &dir, cred) {
            Ok(entries) => entries,
            Err(error) => {
                status = c.fail(
                    format!(
                        "cannot open directory '{dir}': {}",
                        if error == Errno::NoEntry { error.text() } else { Errno::Access.text() }
                    ),
                    2,
                )?;
                continue;
            }
        };
        if titled {
            c.out(format!("{}{dir}:\n", if first { "" } else { "\n" }))?;
        }
        first = false;
        let mut list = Vec::new();
        if options.has("a") {
            for name in [".", ".."] {
                if let Ok(stat) = c.i.vfs.stat(&cwd, &format!("{dir}/{name}")) {
                    list.push(Entry { name: name.into(), stat, target: None });
                }
            }
        }
        for found in entries {
            if found.name.starts_with('.') && !options.has("a A") {
                continue;
            }
            let path = format!("{}/{}", dir.trim_end_matches('/'), found.name);
            listed += 1;
            if options.has("R") && found.stat.is_dir() && listed < LISTED_MAX {
                dirs.push(path.clone());
            }
            list.push(entry(c, &found.name, &path, found.stat));
        }
        c.i.work(list.len() * 64)?;
        c.i.step()?;
        show(c, &options, list, true)?;
    }
    Ok(status)
}

fn entry(c: &Ctx<'_, '_>, name: &str, path: &str, stat: Stat) -> Entry {
    let target = stat.is_link().then(|| c.i.vfs.readlink(&c.cwd(), path).unwrap_or_default());
    Entry { name: name.to_owned(), stat, target }
}

fn show(c: &mut Ctx<'_, '_>, options: &super::Options, mut list: Vec<Entry>, directory: bool) -> Run<()> {
    if options.has("t") {
        list.sort_by_key(|e| std::cmp::Reverse(e.stat.mtime));
    } else if options.has("S") {
        list.sort_by_key(|e| std::cmp::Reverse(e.stat.size));
    }
    if options.has("r") {
        list.reverse();
    }
    let mark = |e: &Entry| match () {
        () if !options.has("F p") => "",
        () if e.stat.is_dir() => "/",
        () if options.has("p") => "",
        () if e.stat.is_link() => "@",
        () if e.stat.mode & 0o111 != 0 => "*",
        () => "",
    };
    let inode =
        |e: &Entry| if options.has("i") { format!("{:>7} ", 131_072 + e.stat.id) } else { String::new() };
    if !options.has("l n g o") {
        let names: Vec<String> = list.iter().map(|e| format!("{}{}{}", inode(e), e.name, mark(e))).collect();
        if c.to_screen() && !options.has("1") {
            return columns(c, &names);
        }
        let mut text = names.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        return c.out(text);
    }
    let now = c.now();
    let mut rows = Vec::new();
    let mut blocks = 0;
    for e in &list {
        blocks += if e.stat.is_link() { 0 } else { e.stat.size.div_ceil(4096) * 4 };
        let size = if options.has("h") { human(e.stat.size) } else { e.stat.size.to_string() };
        let old = now - e.stat.mtime > 15_778_476 || e.stat.mtime > now;
        let time = if options.has("full-time") {
            "%Y-%m-%d %H:%M:%S.000000000 +0000"
        } else if old {
            "%b %e  %Y"
        } else {
            "%b %e %H:%M"
        };
        let (user, group) = if options.has("n") {
            (e.stat.uid.to_string(), e.stat.gid.to_string())
        } else {
            (owner(c, e.stat.uid), group(c, e.stat.gid))
        };
        let arrow = e.target.as_ref().map_or_else(|| mark(e).to_owned(), |t| format!(" -> {t}"));
        rows.push((
            inode(e),
            e.stat.mode_text(),
            e.stat.nlink.to_string(),
            user,
            group,
            size,
            strftime(time, e.stat.mtime),
            format!("{}{arrow}", e.name),
        ));
    }
    let width = |f: fn(&Row) -> usize| rows.iter().map(f).max().unwrap_or(0);
    let (links, users, groups, sizes) =
        (width(|r| r.2.len()), width(|r| r.3.len()), width(|r| r.4.len()), width(|r| r.5.len()));
    let mut text = if directory {
        format!("total {}\n", if options.has("h") { human(blocks * 1024) } else { blocks.to_string() })
    } else {
        String::new()
    };
    for (inode, mode, n, user, group, size, time, name) in &rows {
        let user = if options.has("g") { String::new() } else { format!("{user:<users$} ") };
        text.push_str(&format!(
            "{inode}{mode} {n:>links$} {user}{group:<groups$} {size:>sizes$} {time} {name}\n"
        ));
    }
    c.out(text)
}

/// Down the columns, as wide as a terminal.
fn columns(c: &mut Ctx<'_, '_>, names: &[String]) -> Run<()> {
    if names.is_empty() {
        return Ok(());
    }
    let widths: Vec<usize> = names.iter().map(|n| n.chars().count()).collect();
    let layout = |rows: usize| -> Vec<usize> {
        widths.chunks(rows).map(|w| w.iter().max().copied().unwrap_or(0) + 2).collect()
    };
    let rows = (1..=names.len())
        .find(|rows| layout(*rows).iter().sum::<usize>() <= 82 || *rows >= 200)
        .unwrap_or(names.len());
    let widths = layout(rows);
    let mut text = String::new();
    for row in 0..rows {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            if let Some(name) = names.get(column * rows + row) {
                line.push_str(&format!("{name:<width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    c.out(text)
}

pub(super) fn stat(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("c format printf");
    let mut status = 0;
    for path in options.operands.clone() {
        let stat = match c.i.vfs.lstat(&c.cwd(), &path) {
            Ok(stat) => stat,
            Err(error) => {
                status = c.fail(format!("cannot statx '{path}': {}", error.text()), 1)?;
                continue;
            }
        };
        let (user, group) = (owner(c, stat.uid), group(c, stat.gid));
        if let Some(format) = options.value("c format printf") {
            let text = format
                .replace("%s", &stat.size.to_string())
                .replace("%n", &path)
                .replace("%a", &format!("{:o}", stat.mode & 0o7777))
                .replace("%U", &user)
                .replace("%G", &group)
                .replace("%Y", &stat.mtime.to_string())
                .replace("%A", &stat.mode_text());
            c.out(format!("{text}\n"))?;
            continue;
        }
        let kind = if stat.is_dir() {
            "directory"
        } else if stat.is_link() {
            "symbolic link"
        } else if stat.is_file() {
            "regular file"
        } else {
            "character special file"
        };
        let time = strftime("%Y-%m-%d %H:%M:%S.000000000 +0000", stat.mtime);
        c.out(format!("  File: {path}\n  Size: {:<10}\tBlocks: {:<10} IO Block: 4096   {kind}\nDevice: fe01h/65025d\tInode: {:<11} Links: {}\nAccess: ({:04o}/{})  Uid: ({:5}/{user:>8})   Gid: ({:5}/{group:>8})\nAccess: {time}\nModify: {time}\nChange: {time}\n Birth: -\n", stat.size, stat.size.div_ceil(512), 131_072 + stat.id, stat.nlink, stat.mode & 0o7777, stat.mode_text(), stat.uid, stat.gid))?;
    }
    Ok(status)
}

pub(super) fn file(c: &mut Ctx<'_, '_>) -> Run<i32> {
    for path in c.options("").operands {
        let kind = match c.i.vfs.lstat(&c.cwd(), &path) {
            Err(error) => format!("cannot open `{path}' ({})", error.text()),
            Ok(s) if s.is_dir() => "directory".to_owned(),
            Ok(s) if s.is_link() => {
                format!("symbolic link to {}", c.i.vfs.readlink(&c.cwd(), &path).unwrap_or_default())
            }
            Ok(s) => {
                let data = c.i.vfs.read_id(s.id).unwrap_or_default();
                match data.get(..20) {
                    _ if data.is_empty() => "empty".to_owned(),
                    Some(h) if h.starts_with(b"\x7fELF\x02") => "ELF 64-bit LSB pie executable, x86-64, version 1 (SYSV), dynamically linked, interpreter /lib64/ld-linux-x86-64.so.2, for GNU/Linux 3.2.0, stripped".to_owned(),
                    Some(h) if h.starts_with(b"\x7fELF\x01\x02") => "ELF 32-bit MSB executable, MIPS, MIPS32 version 1 (SYSV), dynamically linked, stripped".to_owned(),
                    Some(h) if h.starts_with(b"\x7fELF") => "ELF 32-bit LSB executable, ARM, EABI5 version 1 (SYSV), dynamically linked, stripped".to_owned(),
                    _ if data.starts_with(b"#!/bin/bash") => "Bourne-Again shell script, ASCII text executable".to_owned(),
                    _ if data.starts_with(b"#!") => "POSIX shell script, ASCII text executable".to_owned(),
                    _ if data.starts_with(b"\x1f\x8b") => "gzip compressed data".to_owned(),
                    _ if data.iter().all(|b| *b < 128 && *b != 0) => "ASCII text".to_owned(),
                    _ => "data".to_owned(),
                }
            }
        };
        c.out(format!("{path}: {kind}\n"))?;
    }
    Ok(0)
}

pub(super) fn readlink(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let real = c.name == "realpath" || options.has("f e m canonicalize");
    let mut status = 0;
    for path in options.operands {
        let cwd = c.cwd();
        let result = if real { c.i.vfs.realpath(&cwd, &path) } else { c.i.vfs.readlink(&cwd, &path) };
        match result {
            Ok(text) => c.out(format!("{text}\n"))?,
            Err(_) if real && c.name == "readlink" => {
                c.out(format!("{}\n", crate::vfs::normalise(&cwd, &path)))?
            }
            Err(error) if c.name == "realpath" => status = c.fail(format!("{path}: {}", error.text()), 1)?,
            Err(_) => status = 1,
        }
    }
    Ok(status)
}
