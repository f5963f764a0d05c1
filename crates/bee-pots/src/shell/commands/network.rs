//! Interfaces, connections, and commands that would reach other machines: those are recorded and go nowhere.

use super::Ctx;
use crate::persona::dotted;
use crate::shell::Effect;
use crate::shell::exec::Run;

pub(super) fn ifconfig(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let (p, now) = (c.persona(), c.now());
    let options = c.options("");
    let (rx, tx) = p.traffic(now);
    let wanted = options.operands.first().cloned();
    if let Some(name) = wanted.as_deref().filter(|n| *n != p.interface && *n != "lo") {
        return c.fail(format!("{name}: error fetching interface information: Device not found"), 1);
    }
    let broadcast = dotted([p.ipv4[0], p.ipv4[1], p.ipv4[2], 255]);
    let (name, ip, mac) = (p.interface, p.ip(), p.mac_text());
    let (first, lo) = if c.is_device() {
        (
            format!("{name:<9} Link encap:Ethernet  HWaddr {}  \n          inet addr:{ip}  Bcast:{broadcast}  Mask:255.255.255.0\n          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1\n          RX packets:{} errors:0 dropped:0 overruns:0 frame:0\n          TX packets:{} errors:0 dropped:0 overruns:0 carrier:0\n          collisions:0 txqueuelen:1000 \n          RX bytes:{rx}  TX bytes:{tx}\n\n", mac.to_uppercase(), rx / 812, tx / 640),
            "lo        Link encap:Local Loopback  \n          inet addr:127.0.0.1  Mask:255.0.0.0\n          UP LOOPBACK RUNNING  MTU:65536  Metric:1\n\n".to_owned(),
        )
    } else {
        (
            format!(
                "{name}: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500\n        inet {ip}  netmask 255.255.255.0  broadcast {broadcast}\n        ether {mac}  txqueuelen 1000  (Ethernet)\n        RX packets {}  bytes {rx} ({:.1} MiB)\n        RX errors 0  dropped 0  overruns 0  frame 0\n        TX packets {}  bytes {tx} ({:.1} MiB)\n        TX errors 0  dropped 0 overruns 0  carrier 0  collisions 0\n\n",
                rx / 812,
                rx as f64 / 1_048_576.0,
                tx / 640,
                tx as f64 / 1_048_576.0
            ),
            format!(
                "lo: flags=73<UP,LOOPBACK,RUNNING>  mtu 65536\n        inet 127.0.0.1  netmask 255.0.0.0\n        loop  txqueuelen 1000  (Local Loopback)\n        RX packets {0}  bytes {1}\n        RX errors 0  dropped 0  overruns 0  frame 0\n        TX packets {0}  bytes {1}\n        TX errors 0  dropped 0 overruns 0  carrier 0  collisions 0\n\n",
                rx / 400_000,
                rx / 4000
            ),
        )
    };
    if wanted.as_deref() != Some("lo") {
        c.out(first)?;
    }
    if wanted.as_deref() != Some(name) {
        c.out(lo)?;
    }
    Ok(0)
}

pub(super) fn ip(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    let args: Vec<String> = c.texts().into_iter().filter(|a| !a.starts_with('-')).collect();
    let (name, mac, address) = (p.interface, p.mac_text(), p.ip());
    let broadcast = dotted([p.ipv4[0], p.ipv4[1], p.ipv4[2], 255]);
    let net = dotted([p.ipv4[0], p.ipv4[1], p.ipv4[2], 0]);
    let links = |addresses: bool| {
        let inet = |text: &str| if addresses { text.to_owned() } else { String::new() };
        format!(
            "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n{}2: {name}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP group default qlen 1000\n    link/ether {mac} brd ff:ff:ff:ff:ff:ff\n{}",
            inet("    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n"),
            inet(&format!(
                "    inet {address}/{} brd {broadcast} scope global dynamic {name}\n       valid_lft 64212sec preferred_lft 64212sec\n",
                p.prefix
            ))
        )
    };
    let text = match args.first().map_or("", String::as_str) {
        "" => {
            c.err("Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n       ip [ -force ] -batch filename\n")?;
            return Ok(255);
        }
        a if "address".starts_with(a) => links(true),
        l if "link".starts_with(l) => links(false),
        r if "route".starts_with(r) => format!(
            "default via {} dev {name} proto dhcp src {address} metric 100\n{net}/{} dev {name} proto kernel scope link src {address} metric 100\n",
            dotted(p.gateway),
            p.prefix
        ),
        n if "neighbour".starts_with(n) || "neighbor".starts_with(n) => {
            format!("{} dev {name} lladdr {} REACHABLE\n", dotted(p.gateway), p.gateway_mac())
        }
        other => {
            let text = format!("Object \"{other}\" is unknown, try \"ip help\".\n");
            c.err(text)?;
            return Ok(1);
        }
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn netstat(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let flags: String = c.texts().iter().map(|a| a.trim_start_matches('-')).collect();
    if flags.contains('r') {
        return route(c);
    }
    let (p, login) = (c.persona(), c.i.st.login.clone());
    let port = if c.is_device() { 23 } else { 22 };
    let program = |pid: u32, name: &str| {
        if flags.contains('p') { format!("{:<20}", format!("{pid}/{name}")) } else { String::new() }
    };
    let daemon = p
        .processes
        .iter()
        .find(|q| q.command.contains("sshd") || q.command.contains("telnetd"))
        .map_or(1, |q| q.pid);
    let name = if c.is_device() { "telnetd" } else { "sshd" };
    let mut text = format!(
        "Active Internet connections ({})\nProto Recv-Q Send-Q Local Address           Foreign Address         State       {}\n",
        if flags.contains('l') { "only servers" } else { "servers and established" },
        if flags.contains('p') { "PID/Program name    " } else { "" }
    );
    if flags.contains(['a', 'l']) {
        text.push_str(&format!(
            "tcp        0      0 {:<23} {:<23} LISTEN      {}\n",
            format!("0.0.0.0:{port}"),
            "0.0.0.0:*",
            program(daemon, name)
        ));
        if !c.is_device() {
            text.push_str(&format!(
                "tcp        0      0 {:<23} {:<23} LISTEN      {}\n",
                "0.0.0.0:80",
                "0.0.0.0:*",
                program(daemon + 40, "nginx: master")
            ));
        }
    }
    if !flags.contains('l') {
        text.push_str(&format!(
            "tcp        0      0 {:<23} {:<23} ESTABLISHED {}\n",
            format!("{}:{port}", p.ip()),
            format!("{}:{}", login.client_ip, login.client_port),
            program(c.i.st.pid - 9, name)
        ));
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn ss(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let flags: String = c.texts().iter().map(|a| a.trim_start_matches('-')).collect();
    let (p, login) = (c.persona(), c.i.st.login.clone());
    let mut text =
        "State    Recv-Q   Send-Q     Local Address:Port     Peer Address:Port  Process\n".to_owned();
    if flags.contains(['l', 'a']) {
        text.push_str("LISTEN   0        128              0.0.0.0:22            0.0.0.0:*\nLISTEN   0        511              0.0.0.0:80            0.0.0.0:*\n");
    }
    if !flags.contains('l') {
        text.push_str(&format!(
            "ESTAB    0        0        {:>15}:22    {:>15}:{}\n",
            p.ip(),
            login.client_ip.to_string(),
            login.client_port
        ));
    }
    c.out(text)?;
    Ok(0)
}

pub(super) fn route(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    let net = dotted([p.ipv4[0], p.ipv4[1], p.ipv4[2], 0]);
    c.out(format!("Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface\n{:<15} {:<15} 0.0.0.0         UG    0      0        0 {}\n{net:<15} 0.0.0.0         255.255.255.0   U     0      0        0 {}\n", "0.0.0.0", dotted(p.gateway), p.interface, p.interface))?;
    Ok(0)
}

pub(super) fn arp(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let p = c.persona();
    let gateway = dotted(p.gateway);
    let text = if c.texts().iter().any(|a| a.starts_with("-a")) {
        format!("_gateway ({gateway}) at {} [ether] on {}\n", p.gateway_mac(), p.interface)
    } else {
        format!(
            "Address                  HWtype  HWaddress           Flags Mask            Iface\n{gateway:<24} ether   {}   C                     {}\n",
            p.gateway_mac(),
            p.interface
        )
    };
    c.out(text)?;
    Ok(0)
}

pub(super) fn firewall(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let flags = c.texts().join(" ");
    if !c.is_root() && c.name != "getenforce" {
        return c.fail("Permission denied (you must be root)", 4);
    }
    let text = match c.name.as_str() {
        "iptables" | "ip6tables" if flags.contains("-L") => "Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination         \n\nChain FORWARD (policy ACCEPT)\ntarget     prot opt source               destination         \n\nChain OUTPUT (policy ACCEPT)\ntarget     prot opt source               destination         \n".to_owned(),
        "iptables-save" => "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n".to_owned(),
        "ufw" if flags.starts_with("status") => "Status: inactive\n".to_owned(),
        "ufw" if flags.starts_with("disable") => "Firewall stopped and disabled on system startup\n".to_owned(),
        "firewall-cmd" => "FirewallD is not running\n".to_owned(),
        "getenforce" => "Disabled\n".to_owned(),
        "setenforce" => {
            c.err("setenforce: SELinux is disabled\n")?;
            return Ok(1);
        }
        _ => String::new(),
    };
    c.out(text)?;
    Ok(0)
}

/// Reports a connection that was asked for.
fn connect(c: &mut Ctx<'_, '_>, host: &str, port: u16, tool: &'static str) {
    c.effect(Effect::Connect { host: host.to_owned(), port, tool });
}

pub(super) fn ping(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("c i s W w t I");
    let Some(host) = options.operands.first().cloned() else {
        return c.fail("usage error: Destination address required", 1);
    };
    connect(c, &host, 0, "ping");
    let count = options.value("c").and_then(|n| n.parse::<u32>().ok()).unwrap_or(4).clamp(1, 10);
    if !host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        c.i.delay_ms += 2000;
        return c.fail(format!("{host}: Temporary failure in name resolution"), 2);
    }
    c.out(format!("PING {host} ({host}) 56(84) bytes of data.\n\n--- {host} ping statistics ---\n{count} packets transmitted, 0 received, 100% packet loss, time {}ms\n\n", count.saturating_sub(1) * 1021))?;
    c.i.delay_ms += u64::from(count) * 1000;
    Ok(1)
}

pub(super) fn nslookup(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let Some(host) = c.options("t").operands.first().cloned() else { return Ok(1) };
    connect(c, &host, 53, "dns");
    c.i.delay_ms += 3000;
    c.out(";; connection timed out; no servers could be reached\n\n")?;
    Ok(1)
}

pub(super) fn ssh(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let mut options = c.options("p l i o L R D b c e F J m O Q S W w P f");
    if options.has("V") {
        let text = format!("{}\n", c.persona().distro.ssh_version);
        c.err(text)?;
        return Ok(0);
    }
    if c.name == "sshpass" {
        options.operands.retain(|o| !matches!(o.as_str(), "ssh" | "scp"));
    }
    let Some(target) = options.operands.first().cloned() else {
        c.err("usage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] [-B bind_interface]\n           [-b bind_address] [-c cipher_spec] [-D [bind_address:]port]\n           [-i identity_file] [-J [user@]host[:port]] [-L address]\n           [-l login_name] [-p port] destination [command]\n")?;
        return Ok(255);
    };
    let host = target.rsplit('@').next().unwrap_or(&target).to_owned();
    let port = options.value("p").and_then(|p| p.parse().ok()).unwrap_or(22);
    connect(c, &host, port, "ssh");
    c.i.delay_ms += 4000;
    c.err(format!("ssh: connect to host {host} port {port}: Connection timed out\n"))?;
    Ok(255)
}

pub(super) fn ssh_keygen(c: &mut Ctx<'_, '_>) -> Run<i32> {
    c.out("Generating public/private rsa key pair.\n")?;
    Ok(0)
}

pub(super) fn nc(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let options = c.options("e c p w s o q i x X");
    let port = options.operands.get(1).and_then(|p| p.parse().ok());
    let Some(host) = options.operands.first().cloned() else {
        if options.has("l") {
            return Ok(0);
        }
        let text = if c.is_device() {
            "BusyBox multi-call binary.\n\nUsage: nc [IPADDR PORT]\n"
        } else {
            "usage: nc [-46CDdFhklNnrStUuvZz] [-I length] [-i interval] [-M ttl]\n\t  [-m minttl] [-O length] [-P proxy_username] [-p source_port]\n\t  [destination] [port]\n"
        };
        c.err(text)?;
        return Ok(1);
    };
    if options.has("l") {
        return Ok(0);
    }
    let tool = if c.name == "telnet" { "telnet" } else { "nc" };
    let port = port.unwrap_or(if tool == "telnet" { 23 } else { 0 });
    connect(c, &host, port, tool);
    c.i.delay_ms += 1500;
    let text = if tool == "telnet" {
        format!("Trying {host}...\ntelnet: Unable to connect to remote host: Connection refused\n")
    } else if c.is_device() {
        format!("nc: can't connect to remote host ({host}): Connection refused\n")
    } else if options.has("v") {
        format!("nc: connect to {host} port {port} (tcp) failed: Connection refused\n")
    } else {
        String::new()
    };
    c.err(text)?;
    Ok(1)
}

pub(super) fn probe(c: &mut Ctx<'_, '_>) -> Run<i32> {
    let name = c.name.clone();
    if let Some(host) = c.options("p i c w").operands.first().cloned() {
        connect(c, &host, 0, "probe");
    }
    c.i.delay_ms += 2000;
    c.fail(
        if name == "tcpdump" {
            "You don't have permission to capture on that device"
        } else {
            "Temporary failure in name resolution"
        },
        1,
    )
}
