//! Disks and mounts.

use super::Ctx;
use super::list::human;
use crate::shell::exec::Run;
use std::fmt::Write as _;

pub(super) fn df(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("t x B");
    let p = c.persona();
    let mut rows: Vec<(String, &str, u64, u64, &str)> =
        vec![(p.root_device(), p.distro.root_fs, p.disk_kb, p.disk_used_kb, "/")];
    if c.is_device() {
        rows.push(("tmpfs".into(), "tmpfs", p.mem_kb / 2, 56, "/tmp"));
        rows.push(("tmpfs".into(), "tmpfs", p.mem_kb / 2, 212, "/var"));
    } else {
        rows.insert(0, ("udev".into(), "devtmpfs", p.mem_kb / 2 - 20_000, 0, "/dev"));
        rows.insert(1, ("tmpfs".into(), "tmpfs", p.mem_kb / 10, 620, "/run"));
        rows.push(("tmpfs".into(), "tmpfs", p.mem_kb / 2, 0, "/dev/shm"));
        rows.push(("tmpfs".into(), "tmpfs", 5120, 0, "/run/lock"));
    }
    if !options.operands.is_empty() {
        rows.retain(|r| r.4 == "/");
    }
    let show = |kb: u64| {
        if options.has("h H") {
            human(kb * 1024)
        } else if options.has("m") {
            (kb / 1024).to_string()
        } else {
            kb.to_string()
        }
    };
    let kind = |t: &str| if options.has("T") { format!(" {t:<8}") } else { String::new() };
    let size = if options.has("h H") { " Size" } else { "1K-blocks" };
    let mut text = format!(
        "{:<14}{}{size:>10} {:>9} {:>9} {:>4} Mounted on\n",
        "Filesystem",
        kind("Type"),
        "Used",
        if options.has("h H") { "Avail" } else { "Available" },
        "Use%"
    );
    for (device, fs, total, used, at) in rows {
        let percent = (used * 100).div_ceil(total.max(1));
        let _ = writeln!(
            text,
            "{device:<14}{}{:>10} {:>9} {:>9} {percent:>3}% {at}",
            kind(fs),
            show(total),
            show(used),
            show(total - used)
        );
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn du(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("d max-depth exclude");
    let operands = if options.operands.is_empty() { vec![".".to_owned()] } else { options.operands.clone() };
    for root in operands {
        let Ok(stat) = c.i.vfs.lstat(&c.cwd(), &root) else {
            c.fail(format!("cannot access '{root}': No such file or directory"), 1)?;
            continue;
        };
        let (mut todo, mut total, mut count) = (vec![stat], 0, 0);
        while let Some(stat) = todo.pop() {
            count += 1;
            c.i.work(64)?;
            if count > 40_000 {
                break;
            }
            total += stat.size.div_ceil(4096) * 4;
            if stat.is_dir() {
                todo.extend(
                    c.i.vfs
                        .list_id(stat.id)
                        .unwrap_or_default()
                        .into_iter()
                        .filter_map(|(_, id)| c.i.vfs.stat_id(id).ok()),
                );
            }
        }
        let size = if options.has("h") { human(total * 1024) } else { total.to_string() };
        c.out(format!("{size}\t{root}\n"))?;
    }
    Ok(0)
}

pub(super) fn mount(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("t o");
    if !options.operands.is_empty() || options.has("a o") {
        return if c.is_root() { Ok(0) } else { c.fail("only root can do that", 1) };
    }
    let text = c.persona().mounts().lines().fold(String::new(), |mut t, line| {
        let words: Vec<&str> = line.split(' ').collect();
        if let [device, at, kind, flags, ..] = words.as_slice() {
            let _ = writeln!(t, "{device} on {at} type {kind} ({flags})");
        }
        t
    });
    c.out(text)?;
    Ok(0)
}

pub(super) fn umount(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let Some(path) = c.options("").operands.first().cloned() else { return c.fail("bad usage", 1) };
    if path == "/" { c.fail("/: target is busy.", 32) } else { c.fail(format!("{path}: not mounted."), 32) }
}

pub(super) fn lsblk(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    let disk = p.hypervisor.disk;
    let gib = (p.disk_kb * 100 / 97) >> 20;
    c.out(format!("NAME   MAJ:MIN RM  SIZE RO TYPE MOUNTPOINT\n{disk}    254:0    0   {gib}G  0 disk \n`-{disk}1 254:1    0   {gib}G  0 part /\n"))?;
    Ok(0)
}

pub(super) fn fdisk(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    if !c.is_root() {
        return c.fail(format!("cannot open /dev/{}: Permission denied", p.hypervisor.disk), 1);
    }
    let (disk, bytes) = (p.hypervisor.disk, p.disk_kb * 1024 / 97 * 100);
    let text = if c.name == "blkid" {
        format!(
            "{}: UUID=\"{:08x}-{:04x}-4b1c-9f0e-{:012x}\" TYPE=\"{}\"\n",
            p.root_device(),
            p.draw("uuid") as u32,
            p.draw("uuid2") as u16,
            p.draw("uuid3") >> 16,
            p.distro.root_fs
        )
    } else {
        format!(
            "Disk /dev/{disk}: {} GiB, {bytes} bytes, {} sectors\nUnits: sectors of 1 * 512 = 512 bytes\n\nDevice     Boot Start      End  Sectors Size Id Type\n/dev/{disk}1  *     2048 {} {} {}G 83 Linux\n",
            bytes >> 30,
            bytes / 512,
            bytes / 512 - 1,
            bytes / 512 - 2048,
            bytes >> 30
        )
    };
    c.out(text)?;
    Ok(0)
}
