//! `find`.

use super::Ctx;
use crate::shell::exec::Run;
use crate::shell::glob;

/// Files visited by one `find`.
const VISITED_MAX: usize = 40_000;

pub(super) fn find(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    let split = args.iter().position(|a| a.starts_with('-') || a == "(" || a == "!").unwrap_or(args.len());
    let (roots, tests) = args.split_at(split);
    let roots = if roots.is_empty() { vec![".".to_owned()] } else { roots.to_vec() };
    let max_depth = tests
        .windows(2)
        .find(|w| w.first().is_some_and(|a| a == "-maxdepth"))
        .and_then(|w| w.get(1)?.parse().ok())
        .unwrap_or(usize::MAX);
    let (cwd, mut status, mut visited) = (c.cwd(), 0, 0);
    for root in roots {
        if c.i.vfs.lstat(&cwd, &root).is_err() {
            status = c.fail(format!("'{root}': No such file or directory"), 1)?;
            continue;
        }
        let mut todo = vec![(root, 0)];
        while let Some((path, depth)) = todo.pop() {
            visited += 1;
            c.i.work(128)?;
            if visited > VISITED_MAX {
                return Ok(status);
            }
            let Ok(stat) = c.i.vfs.lstat(&cwd, &path) else { continue };
            act(c, &path, stat, tests)?;
            if stat.is_dir() && depth < max_depth {
                if !c.i.vfs.allowed(stat.id, c.cred(), 5) {
                    status = c.fail(format!("'{path}': Permission denied"), 1)?;
                    continue;
                }
                let names = c.i.vfs.list_id(stat.id).unwrap_or_default();
                todo.extend(
                    names
                        .into_iter()
                        .rev()
                        .map(|(n, _)| (format!("{}/{n}", path.trim_end_matches('/')), depth + 1)),
                );
            }
        }
    }
    Ok(status)
}

fn act(c: &mut Ctx<'_, '_>, path: &str, stat: crate::vfs::Stat, tests: &[String]) -> Run<()> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (mut hit, mut negate, mut any, mut acted) = (true, false, false, false);
    let mut words = tests.iter();
    while let Some(word) = words.next() {
        let one = match word.as_str() {
            "!" | "-not" => {
                negate = true;
                continue;
            }
            "-o" | "-or" => {
                any |= hit;
                hit = true;
                continue;
            }
            "-name" => {
                glob::matches(&glob::unquoted(words.next().map_or(b"", |w| w.as_bytes())), name.as_bytes())
            }
            "-iname" => {
                let pattern = words.next().map(|w| w.to_lowercase()).unwrap_or_default();
                glob::matches(&glob::unquoted(pattern.as_bytes()), name.to_lowercase().as_bytes())
            }
            "-path" => {
                glob::matches(&glob::unquoted(words.next().map_or(b"", |w| w.as_bytes())), path.as_bytes())
            }
            "-type" => match words.next().map(String::as_str) {
                Some("f") => stat.is_file(),
                Some("d") => stat.is_dir(),
                Some("l") => stat.is_link(),
                _ => !stat.is_file() && !stat.is_dir() && !stat.is_link(),
            },
            "-user" => words.next().is_some_and(|u| *u == super::list::owner(c, stat.uid)),
            "-empty" => stat.size == 0,
            "-writable" => c.i.vfs.allowed(stat.id, c.cred(), 2),
            "-executable" => c.i.vfs.allowed(stat.id, c.cred(), 1),
            "-perm" => {
                let text = words.next().map_or("", String::as_str);
                let bits = u32::from_str_radix(text.trim_start_matches(['-', '/']), 8).unwrap_or(0);
                if text.starts_with('-') {
                    stat.mode & bits == bits
                } else {
                    stat.mode & 0o7777 == bits || text.starts_with('/') && stat.mode & bits != 0
                }
            }
            "-size" | "-mtime" | "-mmin" | "-maxdepth" | "-mindepth" | "-newer" | "-group" | "-ctime" => {
                words.next();
                true
            }
            "-delete" => {
                if hit {
                    acted = true;
                    let (cwd, cred) = (c.cwd(), c.cred());
                    if let Some(written) = c.i.vfs.take_written_id(stat.id) {
                        c.effect(crate::shell::Effect::FileWritten(written));
                    }
                    let _ = c.i.vfs.remove(&cwd, path, cred);
                }
                true
            }
            "-exec" | "-execdir" | "-ok" => {
                let command: Vec<Vec<u8>> = words
                    .by_ref()
                    .take_while(|w| *w != ";" && *w != "+")
                    .map(|w| w.replace("{}", path).into_bytes())
                    .collect();
                acted = true;
                if hit && !command.is_empty() { c.i.run_args(command, c.fds)? == 0 } else { false }
            }
            "-print0" => {
                acted = true;
                if hit {
                    c.out(format!("{path}\0"))?;
                }
                true
            }
            _ => true,
        };
        hit &= one != negate;
        negate = false;
    }
    if (hit || any) && !acted {
        c.out(format!("{path}\n"))?;
    }
    Ok(())
}
