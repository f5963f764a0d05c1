//! Accounts: who is who, who is logged in, passwords, crontabs. Changes show in the session's own `/etc`.

use super::Ctx;
use crate::shell::clock::strftime;
use crate::shell::exec::Run;
use crate::shell::{Effect, Want};
use crate::vfs::{Cred, OpenFlags, Origin};

/// Bytes of a kept crontab.
const CRONTAB_BYTES_MAX: usize = 64 << 10;

pub(super) fn id(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let (mut uid, mut gid, mut name) = (c.cred().uid, c.cred().gid, c.i.st.top().user.clone());
    if let Some(wanted) = options.operands.first() {
        match account(c, wanted) {
            Some((u, g)) => (uid, gid, name) = (u, g, wanted.clone()),
            None if *wanted == name => {}
            None => {
                let text = format!("'{wanted}': no such user");
                return c.fail(text, 1);
            }
        }
    }
    let user = super::list::owner(c, uid);
    let text = if options.has("u") {
        if options.has("n") { name } else { uid.to_string() }
    } else if options.has("g G") {
        if options.has("n") { user } else { gid.to_string() }
    } else {
        let extra = if uid == 1000 { ",27(sudo)".to_owned() } else { String::new() };
        format!("uid={uid}({user}) gid={gid}({user}) groups={gid}({user}){extra}")
    };
    c.out(format!("{text}\n"))?;
    Ok(0)
}

pub(super) fn whoami(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let user = super::list::owner(c, c.cred().uid);
    c.out(format!("{user}\n"))?;
    Ok(0)
}

pub(super) fn groups(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let user = c.texts().first().cloned().unwrap_or_else(|| c.i.st.top().user.clone());
    c.out(format!("{user}\n"))?;
    Ok(0)
}

pub(super) fn who(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if !c.i.st.tty {
        return Ok(0);
    }
    let login = c.i.st.login.clone();
    let text = if c.name == "users" {
        format!("{}\n", login.user)
    } else {
        format!(
            "{:<8} pts/0        {} ({})\n",
            login.user,
            strftime("%Y-%m-%d %H:%M", login.at_ms / 1000),
            login.client_ip
        )
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn w(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut text = super::system::uptime_line(c);
    text.push_str("USER     TTY      FROM             LOGIN@   IDLE   JCPU   PCPU WHAT\n");
    if c.i.st.tty {
        let login = c.i.st.login.clone();
        let from: String = login.client_ip.to_string().chars().take(16).collect();
        text.push_str(&format!(
            "{:<8} pts/0    {from:<16} {}    1.00s  0.03s  0.00s w\n",
            login.user,
            strftime("%H:%M", login.at_ms / 1000)
        ));
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn last(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (p, login, now) = (c.persona(), c.i.st.login.clone(), c.now());
    if c.name == "lastb" {
        c.out(format!("\nbtmp begins {}\n", strftime("%a %b %e %H:%M:%S %Y", p.booted)))?;
        return Ok(0);
    }
    let options = c.options("n");
    let mut rows = Vec::new();
    if c.i.st.tty {
        rows.push(format!(
            "{:<8} pts/0        {:<16} {}   still logged in",
            login.user,
            login.client_ip,
            strftime("%a %b %e %H:%M", login.at_ms / 1000)
        ));
    }
    let admin = p.person().map_or("root", |u| u.name.as_str());
    let mut at = now;
    for n in 0..4 + p.draw("last") % 5 {
        let draw = p.draw(&format!("last {n}"));
        at -= 30_000 + (draw % 700_000) as i64;
        if at < p.booted + 3600 {
            break;
        }
        let minutes = 1 + draw % 58;
        let from = format!("{}.{}.{}.{}", p.ipv4[0], p.ipv4[1], p.ipv4[2], 2 + p.draw("admin ip") % 250);
        rows.push(format!(
            "{:<8} pts/0        {from:<16} {} - {}  (00:{minutes:02})",
            if n % 3 == 0 { "root" } else { admin },
            strftime("%a %b %e %H:%M", at),
            strftime("%H:%M", at + minutes as i64 * 60)
        ));
    }
    rows.push(format!(
        "reboot   system boot  {:<16} {}   still running",
        p.distro.kernel.get(..16).unwrap_or(p.distro.kernel),
        strftime("%a %b %e %H:%M", p.booted)
    ));
    let count = options.value("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let text: String = rows.into_iter().take(count).map(|r| r + "\n").collect();
    c.out(format!("{text}\nwtmp begins {}\n", strftime("%a %b %e %H:%M:%S %Y", p.installed)))?;
    Ok(0)
}

pub(super) fn lastlog(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (p, login) = (c.persona(), c.i.st.login.clone());
    let mut text = "Username         Port     From             Latest\n".to_owned();
    for user in &p.users {
        let when = if user.name == login.user {
            format!(
                "pts/0    {:<16} {}",
                login.client_ip,
                strftime("%a %b %e %H:%M:%S +0000 %Y", login.at_ms / 1000)
            )
        } else {
            "                           **Never logged in**".to_owned()
        };
        text.push_str(&format!("{:<16} {when}\n", user.name));
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn passwd(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("");
    let own = c.i.st.top().user.clone();
    let user = options.operands.first().cloned().unwrap_or_else(|| own.clone());
    if user != own && !c.is_root() {
        return c.fail(format!("You may not view or modify password information for {user}."), 1);
    }
    if !known(c, &user) {
        return c.fail(format!("user '{user}' does not exist"), 1);
    }
    if options.has("l d u S e") {
        c.effect(Effect::CredentialChange { user, secret: String::new(), tool: "passwd" });
        return c.out("passwd: password expiry information changed.\n").map(|()| 0);
    }
    if options.has("stdin") {
        let line = c.i.read_line(c.fds.input, Want::Line)?.map(|(l, _)| l).unwrap_or_default();
        c.effect(Effect::CredentialChange {
            user: user.clone(),
            secret: String::from_utf8_lossy(&line).into_owned(),
            tool: "passwd",
        });
        return c.out(format!("Changing password for user {user}.\npasswd: all authentication tokens updated successfully.\n")).map(|()| 0);
    }
    if !c.is_root() {
        c.err(format!("Changing password for {user}.\n"))?;
        c.i.secret("Current password: ", c.fds)?;
    } else if c.is_device() {
        c.err(format!("Changing password for {user}\n"))?;
    }
    let first = c.i.secret("New password: ", c.fds)?;
    let again = c.i.secret("Retype new password: ", c.fds)?;
    c.effect(Effect::CredentialChange {
        user: user.clone(),
        secret: String::from_utf8_lossy(&first).into_owned(),
        tool: "passwd",
    });
    if first != again {
        c.err("Sorry, passwords do not match.\npasswd: Authentication token manipulation error\npasswd: password unchanged\n")?;
        return Ok(10);
    }
    if first.is_empty() {
        c.err("No password has been supplied.\npasswd: Authentication token manipulation error\npasswd: password unchanged\n")?;
        return Ok(10);
    }
    let text = if c.is_device() {
        format!("Password for {user} changed by root\n")
    } else {
        "passwd: password updated successfully\n".to_owned()
    };
    c.err(text)?;
    Ok(0)
}

fn known(c: &Ctx<'_, '_>, user: &str) -> bool {
    user == c.i.st.top().user || account(c, user).is_some()
}

/// User and group id of an account in the session's `/etc/passwd`.
fn account(c: &Ctx<'_, '_>, user: &str) -> Option<(u32, u32)> {
    let data = c.i.vfs.resolve("/", "/etc/passwd").and_then(|id| c.i.vfs.read_id(id)).ok()?;
    String::from_utf8_lossy(&data).lines().find_map(|line| {
        let mut parts = line.strip_prefix(user)?.strip_prefix(':')?.split(':').skip(1);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

pub(super) fn chpasswd(c: &mut Ctx<'_, '_>) -> Run<i32> {
    if !c.is_root() {
        return c.fail("cannot lock /etc/passwd; try again later.", 1);
    }
    let data = c.stdin()?;
    let mut status = 0;
    for line in String::from_utf8_lossy(&data).lines() {
        match line.split_once(':') {
            Some((user, secret)) => {
                c.effect(Effect::CredentialChange {
                    user: user.to_owned(),
                    secret: secret.to_owned(),
                    tool: "chpasswd",
                });
                if !known(c, user) {
                    status = c.fail(format!("line 1: user '{user}' does not exist"), 1)?;
                }
            }
            None => status = c.fail("line 1: missing new password", 1)?,
        }
    }
    Ok(status)
}

pub(super) fn useradd(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("p u g G d s c o shell home uid password gecos ingroup");
    let Some(user) = options.operands.first().cloned() else { return c.fail("user name required", 2) };
    if !c.is_root() {
        return c.fail("Permission denied.\nuseradd: cannot lock /etc/passwd; try again later.", 1);
    }
    if known(c, &user) {
        return c.fail(format!("user '{user}' already exists"), 9);
    }
    let secret = options.value("p password").unwrap_or_default().to_owned();
    let uid = options.value("u uid").and_then(|u| u.parse().ok()).unwrap_or(1001_u32);
    let home = options.value("d home").map_or_else(|| format!("/home/{user}"), str::to_owned);
    let shell = options.value("s shell").unwrap_or("/bin/sh").to_owned();
    c.effect(Effect::CredentialChange { user: user.clone(), secret, tool: "useradd" });
    let passwd = format!("{user}:x:{uid}:{uid}::{home}:{shell}\n");
    let shadow = format!("{user}:!:{}:0:99999:7:::\n", c.now() / 86_400);
    for (path, line) in [("/etc/passwd", passwd), ("/etc/shadow", shadow)] {
        let open = c.i.vfs.open("/", path, OpenFlags::APPEND, Cred::ROOT, Origin::Command);
        if let Ok(handle) = open {
            let _ = c.i.vfs.write(handle, 0, line.as_bytes());
        }
    }
    if options.has("m") || c.name == "adduser" {
        let _ = c.i.vfs.mkdir("/", &home, 0o755, Cred::ROOT);
    }
    if c.name == "adduser"
        && c.i.st.top().flavour == crate::shell::state::Flavour::Bash
        && !options.has("disabled-password")
    {
        c.out(format!("Adding user `{user}' ...\nAdding new group `{user}' ({uid}) ...\nAdding new user `{user}' ({uid}) with group `{user}' ...\nCreating home directory `{home}' ...\nCopying files from `/etc/skel' ...\n"))?;
        let secret = c.i.secret("New password: ", c.fds)?;
        c.i.secret("Retype new password: ", c.fds)?;
        c.effect(Effect::CredentialChange {
            user: user.clone(),
            secret: String::from_utf8_lossy(&secret).into_owned(),
            tool: "adduser",
        });
        c.err("passwd: password updated successfully\n")?;
    }
    Ok(0)
}

pub(super) fn userdel(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let Some(user) = c.options("").operands.first().cloned() else { return c.fail("user name required", 2) };
    if !known(c, &user) {
        return c.fail(format!("user '{user}' does not exist"), 6);
    }
    if !c.is_root() {
        return c.fail("Permission denied.", 1);
    }
    c.effect(Effect::CredentialChange { user: user.clone(), secret: String::new(), tool: "userdel" });
    let data = c.read("/etc/passwd")?.unwrap_or_default();
    let start = format!("{user}:");
    let kept: Vec<u8> = data
        .split_inclusive(|b| *b == b'\n')
        .filter(|l| !l.starts_with(start.as_bytes()))
        .flatten()
        .copied()
        .collect();
    let _ = c.write_file("/etc/passwd", &kept, false)?;
    Ok(0)
}

pub(super) fn usermod(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("a G g p s d l u c");
    if !c.is_root() {
        return c.fail("Permission denied.", 1);
    }
    if let (Some(secret), Some(user)) = (options.value("p"), options.operands.last()) {
        c.effect(Effect::CredentialChange { user: user.clone(), secret: secret.to_owned(), tool: "usermod" });
    }
    Ok(0)
}

pub(super) fn crontab(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("u");
    let user = options.value("u").map_or_else(|| c.i.st.top().user.clone(), str::to_owned);
    if options.has("l") {
        return match c.i.st.crontabs.get(&user).cloned() {
            Some(text) => c.out(text).map(|()| 0),
            None => {
                c.err(format!("no crontab for {user}\n"))?;
                Ok(1)
            }
        };
    }
    if options.has("r") {
        if c.i.st.crontabs.remove(&user).is_none() {
            c.err(format!("no crontab for {user}\n"))?;
            return Ok(1);
        }
        return Ok(0);
    }
    if options.has("e") {
        return c.err("No modification made\n").map(|()| 0);
    }
    let path = options.operands.first().cloned().unwrap_or_else(|| "-".to_owned());
    match c.read(&path)? {
        Ok(data) => {
            let spool = format!("/var/spool/cron/crontabs/{user}");
            let _ = c.i.vfs.mkdir("/", "/var/spool/cron/crontabs", 0o730, Cred::ROOT);
            if let Ok(handle) = c.i.vfs.open("/", &spool, OpenFlags::REPLACE, Cred::ROOT, Origin::Command) {
                let _ = c.i.vfs.write(handle, 0, &data);
            }
            let kept = data.get(..CRONTAB_BYTES_MAX.min(data.len())).unwrap_or_default().to_vec();
            if c.i.st.crontabs.len() < 32 {
                c.i.st.crontabs.insert(user, kept);
            }
            Ok(0)
        }
        Err(error) => c.fail(format!("{path}: {}", error.text()), 1),
    }
}
