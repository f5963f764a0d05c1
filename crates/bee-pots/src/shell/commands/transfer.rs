//! Downloads and copies to and from other machines. Nothing is fetched: the URL is recorded and the result made up.

use super::{Ctx, Options};
use crate::persona::Arch;
use crate::shell::clock::strftime;
use crate::shell::exec::Run;
use crate::shell::{Downloads, Effect};
use crate::vfs::{Content, normalise};
use std::fmt::Write as _;

/// URLs one command line can name.
const URLS_MAX: usize = 32;

struct Url {
    full: String,
    host: String,
    port: u16,
    file: String,
}

fn parse(text: &str, scheme: &str) -> Option<Url> {
    let full = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    let (scheme, rest) = full.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let default = match scheme {
        "https" => 443,
        "ftp" => 21,
        _ => 80,
    };
    let (host, port) =
        authority.rsplit_once(':').map_or((authority, default), |(h, p)| (h, p.parse().unwrap_or(default)));
    if host.is_empty() {
        return None;
    }
    let file = path.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
    Some(Url { host: host.to_owned(), port, file, full })
}

/// What a fetched file seems to hold: a script for scripts, a program for everything else.
fn made_up(c: &Ctx<'_, '_>, url: &Url) -> (Content, u64) {
    let seed = url.full.bytes().fold(2_166_136_261_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    let text = [".sh", ".txt", ".py", ".pl", ".php", ".html", ".conf", ".json"]
        .iter()
        .any(|e| url.file.ends_with(e))
        || url.file.is_empty();
    if text {
        return (Content::Static(b"#!/bin/sh\n"), 10);
    }
    let _ = c.persona().distro.arch == Arch::X86_64;
    let size = 28_000 + seed % 180_000;
    (Content::Program { size, seed }, u64::from(size))
}

fn record(c: &mut Ctx<'_, '_>, url: &Url, tool: &'static str, destination: &str) {
    let destination = if destination == "-" { "-".to_owned() } else { normalise(&c.cwd(), destination) };
    c.effect(Effect::Download { url: url.full.clone(), tool, destination });
}

fn pretends(c: &Ctx<'_, '_>) -> bool {
    c.i.sys.settings.downloads == Downloads::Pretend
}

/// Address a name seems to resolve to; never looked up.
fn address(c: &Ctx<'_, '_>, host: &str) -> String {
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return host.to_owned();
    }
    let n = c.persona().draw(host);
    format!("{}.{}.{}.{}", 23 + n % 180, (n >> 8) % 256, (n >> 16) % 256, 1 + (n >> 24) % 254)
}

/// What services that tell a caller its own address answer.
fn own_address(c: &Ctx<'_, '_>, host: &str) -> Option<String> {
    const SERVICES: [&str; 9] = [
        "ifconfig.me",
        "icanhazip.com",
        "api.ipify.org",
        "ipinfo.io",
        "ipecho.net",
        "ident.me",
        "checkip.amazonaws.com",
        "ip.sb",
        "myip.ipip.net",
    ];
    SERVICES
        .iter()
        .any(|s| host == *s || host.ends_with(&format!(".{s}")))
        .then(|| c.i.st.login.server_ip.to_string())
}

pub(super) fn wget(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options(
        "O o P T t U e i a Q output-document directory-prefix timeout tries user-agent header post-data",
    );
    let p = c.persona();
    if options.has("version V") {
        c.out(format!("GNU Wget {} built on linux-gnu.\n", p.distro.wget))?;
        return Ok(0);
    }
    if options.operands.is_empty() {
        let text = if c.is_device() {
            format!(
                "{} multi-call binary.\n\nUsage: wget [-csq] [-O FILE] [-Y on/off] [-P DIR] [-U AGENT] URL...\n\nRetrieve files via HTTP or FTP\n\n",
                p.distro.busybox
            )
        } else {
            "wget: missing URL\nUsage: wget [OPTION]... [URL]...\n\nTry `wget --help' for more options.\n"
                .to_owned()
        };
        c.err(text)?;
        return Ok(1);
    }
    let quiet = options.has("q quiet");
    let mut status = 0;
    for text in options.operands.iter().take(URLS_MAX) {
        c.i.step()?;
        let Some(url) = parse(text, "http") else {
            status = c.fail(format!("{text}: Invalid host name."), 1)?;
            continue;
        };
        let name = if url.file.is_empty() { "index.html".to_owned() } else { url.file.clone() };
        let destination = match (options.value("O output-document"), options.value("P directory-prefix")) {
            (Some(path), _) => path.to_owned(),
            (None, Some(dir)) => format!("{}/{name}", dir.trim_end_matches('/')),
            (None, None) => name.clone(),
        };
        record(c, &url, "wget", &destination);
        status = fetch_wget(c, &url, &destination, quiet)?;
    }
    Ok(status)
}

fn fetch_wget(c: &mut Ctx<'_, '_>, url: &Url, destination: &str, quiet: bool) -> Run<i32> {
    let ip = address(c, &url.host);
    let (host, port, now) = (&url.host, url.port, c.now());
    let time = strftime("%Y-%m-%d %H:%M:%S", now);
    let shown = if *host == ip { format!("{ip}:{port}") } else { format!("{host} ({host})|{ip}|:{port}") };
    let resolving = if *host == ip { String::new() } else { format!("Resolving {host} ({host})... {ip}\n") };
    if !pretends(c) {
        c.i.delay_ms += 4000;
        let text = if c.is_device() {
            format!("wget: can't connect to remote host ({ip}): Connection refused\n")
        } else {
            format!(
                "--{time}--  {}\n{resolving}Connecting to {shown}... failed: Connection refused.\n",
                url.full
            )
        };
        if !quiet {
            c.err(text)?;
        }
        return Ok(if c.is_device() { 1 } else { 4 });
    }
    c.i.delay_ms += 700;
    if destination == "-" {
        if let Some(own) = own_address(c, host) {
            c.out(format!("{own}\n"))?;
        }
        return Ok(0);
    }
    let (content, size) = made_up(c, url);
    let (cwd, cred) = (c.cwd(), c.cred());
    if let Err(error) = c.i.vfs.put_content(&cwd, destination, content, None, cred) {
        let text = if c.is_device() {
            format!("wget: can't open '{destination}': {}\n", error.text())
        } else {
            format!(
                "{destination}: {}\n\nCannot write to '{destination}' ({}).\n",
                error.text(),
                error.text()
            )
        };
        c.err(text)?;
        return Ok(3);
    }
    if quiet {
        return Ok(0);
    }
    let text = if c.is_device() {
        format!(
            "Connecting to {host} ({ip}:{port})\n{destination:<20} 100% |*******************************| {size:>6}   0:00:00 ETA\n"
        )
    } else {
        let short = format!("{:.0}K", (size as f64 / 1024.0).ceil());
        format!(
            "--{time}--  {}\n{resolving}Connecting to {shown}... connected.\nHTTP request sent, awaiting response... 200 OK\nLength: {size} ({short}) [application/octet-stream]\nSaving to: '{destination}'\n\n{destination:<20}100%[===================>] {short:>7}  --.-KB/s    in 0.1s    \n\n{} (412 KB/s) - '{destination}' saved [{size}/{size}]\n\n",
            url.full,
            strftime("%Y-%m-%d %H:%M:%S", now + 1)
        )
    };
    c.err(text)?;
    Ok(0)
}

pub(super) fn curl(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options: Options = c.options("o A b c d D e F H K m T u U w x X y Y z output user-agent header data request max-time connect-timeout proxy user retry");
    let p = c.persona();
    if options.has("V version") {
        c.out(format!("curl {0} ({1}-pc-linux-gnu) libcurl/{0}\nProtocols: dict file ftp ftps gopher http https imap pop3 smtp tftp\n", p.distro.curl, p.distro.machine))?;
        return Ok(0);
    }
    if options.operands.is_empty() {
        c.err("curl: try 'curl --help' or 'curl --manual' for more information\n")?;
        return Ok(2);
    }
    let quiet = options.has("s silent");
    let mut status = 0;
    for text in options.operands.iter().take(URLS_MAX) {
        c.i.step()?;
        let Some(url) = parse(text, "http") else {
            c.err("curl: (3) URL using bad/illegal format or missing URL\n")?;
            status = 3;
            continue;
        };
        let destination = match options.value("o output") {
            Some(path) => path.to_owned(),
            None if options.has("O remote-name") => url.file.clone(),
            None => "-".to_owned(),
        };
        if destination.is_empty() {
            c.err("curl: Remote file name has no length!\n")?;
            return Ok(23);
        }
        record(c, &url, "curl", &destination);
        if !pretends(c) {
            c.i.delay_ms += 4000;
            if !quiet || options.has("S") {
                c.err(format!(
                    "curl: (7) Failed to connect to {} port {}: Connection refused\n",
                    url.host, url.port
                ))?;
            }
            status = 7;
            continue;
        }
        c.i.delay_ms += 600;
        if destination == "-" {
            if options.has("I head") {
                c.out(format!(
                    "HTTP/1.1 200 OK\nServer: nginx\nDate: {}\nContent-Type: text/html\n\n",
                    strftime("%a, %d %b %Y %H:%M:%S GMT", c.now())
                ))?;
            } else if let Some(own) = own_address(c, &url.host) {
                c.out(own)?;
            }
            continue;
        }
        let (content, size) = made_up(c, &url);
        let (cwd, cred) = (c.cwd(), c.cred());
        if let Err(error) = c.i.vfs.put_content(&cwd, &destination, content, None, cred) {
            c.err(format!(
                "Warning: Failed to open the file {destination}: {}\ncurl: (23) Failed writing body\n",
                error.text()
            ))?;
            status = 23;
            continue;
        }
        if !quiet {
            let mut text = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n".to_owned();
            let _ = writeln!(
                text,
                "100 {size:>5}  100 {size:>5}    0     0  {:>5}k      0 --:--:-- --:--:-- --:--:-- {:>5}k",
                402, 402
            );
            c.err(text)?;
        }
    }
    Ok(status)
}

pub(super) fn tftp(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("r l b c");
    let p = c.persona();
    // `tftp -g -r file host` of BusyBox, `tftp host -c get file` of the servers' client.
    let (mut host, mut remote) = (options.operands.first().cloned(), options.value("r").map(str::to_owned));
    if options.value("c") == Some("get") {
        remote = options.operands.get(1).cloned();
    }
    if remote.is_none() {
        remote = options.value("l").map(str::to_owned);
    }
    let (Some(host), Some(remote)) = (host.take(), remote) else {
        let text = if c.is_device() {
            format!(
                "{} multi-call binary.\n\nUsage: tftp [OPTIONS] HOST [PORT]\n\nTransfer a file from/to tftp server\n\n\t-l FILE\tLocal FILE\n\t-r FILE\tRemote FILE\n\t-g\tGet file\n\t-p\tPut file\n\n",
                p.distro.busybox
            )
        } else {
            "usage: tftp host-name [port]\n".to_owned()
        };
        c.err(text)?;
        return Ok(1);
    };
    let local = options
        .value("l")
        .map_or_else(|| remote.rsplit('/').next().unwrap_or(&remote).to_owned(), str::to_owned);
    generic(
        c,
        "tftp",
        &format!("tftp://{host}/{}", remote.trim_start_matches('/')),
        &local,
        "tftp: timeout\n",
    )
}

fn generic(c: &mut Ctx<'_, '_>, tool: &'static str, url: &str, local: &str, failure: &str) -> Run<i32> {
    let Some(url) = parse(url, "ftp") else { return Ok(1) };
    record(c, &url, tool, local);
    if !pretends(c) {
        c.i.delay_ms += 5000;
        c.err(failure)?;
        return Ok(1);
    }
    c.i.delay_ms += 900;
    let (content, _) = made_up(c, &url);
    let (cwd, cred) = (c.cwd(), c.cred());
    match c.i.vfs.put_content(&cwd, local, content, None, cred) {
        Ok(()) => Ok(0),
        Err(error) => c.fail(format!("can't open '{local}': {}", error.text()), 1),
    }
}

pub(super) fn ftp(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("u p P v c");
    let p = c.persona();
    let [host, local, rest @ ..] = options.operands.as_slice() else {
        if c.name == "ftp" {
            if let Some(host) = options.operands.first().cloned() {
                c.effect(Effect::Connect { host, port: 21, tool: "ftp" });
                c.i.delay_ms += 2000;
                c.err("ftp: connect: Connection refused\n")?;
            }
            return Ok(1);
        }
        c.err(format!(
            "{} multi-call binary.\n\nUsage: {} [OPTIONS] HOST [LOCAL_FILE] REMOTE_FILE\n\n",
            p.distro.busybox, c.name
        ))?;
        return Ok(1);
    };
    let remote = rest.first().unwrap_or(local);
    generic(
        c,
        "ftpget",
        &format!("ftp://{host}/{}", remote.trim_start_matches('/')),
        local,
        &format!("ftpget: can't connect to remote host ({host}): Connection refused\n"),
    )
}

pub(super) fn scp(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("P i o F l S c e rsh");
    let remote = options.operands.iter().find(|o| o.contains(':')).cloned();
    let Some(remote) = remote else {
        c.err(format!("usage: {} [-346ABCpqrTv] [-i identity_file] [-P port] source ... target\n", c.name))?;
        return Ok(1);
    };
    let host = remote.split(':').next().unwrap_or_default().rsplit('@').next().unwrap_or_default().to_owned();
    let port = options.value("P").and_then(|p| p.parse().ok()).unwrap_or(22);
    c.effect(Effect::Connect { host: host.clone(), port, tool: "scp" });
    c.i.delay_ms += 4000;
    c.err(format!("ssh: connect to host {host} port {port}: Connection timed out\nlost connection\n"))?;
    Ok(1)
}

pub(super) fn git(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let args = c.texts();
    match args.first().map(String::as_str) {
        Some("--version" | "version") => c.out("git version 2.34.1\n").map(|()| 0),
        Some("clone") => {
            let text = args.iter().skip(1).find(|a| !a.starts_with('-')).cloned().unwrap_or_default();
            let Some(url) = parse(&text, "https") else { return Ok(128) };
            let dir = url.file.trim_end_matches(".git").to_owned();
            record(c, &url, "git", &dir);
            c.i.delay_ms += 3000;
            c.err(format!(
                "Cloning into '{dir}'...\nfatal: unable to access '{}': Could not resolve host: {}\n",
                url.full, url.host
            ))?;
            Ok(128)
        }
        _ => {
            c.err("fatal: not a git repository (or any of the parent directories): .git\n")?;
            Ok(128)
        }
    }
}
