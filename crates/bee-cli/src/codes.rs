//! The catalogue of error codes: what each means and how to get past it. `honeybee help HBnnnn` reads it offline.

/// One code.
pub(crate) struct Entry {
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) fix: &'static str,
}

/// The entry of a code, however its letters are written.
pub(crate) fn find(code: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.code.eq_ignore_ascii_case(code))
}

const fn entry(code: &'static str, title: &'static str, meaning: &'static str, fix: &'static str) -> Entry {
    Entry { code, title, meaning, fix }
}

/// 00 the command line, 01 Core, 02 talking to Core, 03 joining, 04 pots, 05 commands, 06 the doctor's findings, 07 poke.
pub(crate) const CATALOGUE: &[Entry] = &[
    entry(
        "HB0001",
        "the command line is wrong",
        "An argument could not be read.",
        "See `honeybee --help` for what the command takes.",
    ),
    entry(
        "HB0002",
        "no such name",
        "No node has that name or id, or more than one has that name.",
        "`honeybee nodes ls` lists names and ids; an id is always exact.",
    ),
    entry(
        "HB0003",
        "no such error code",
        "The catalogue has no such code.",
        "`honeybee help` lists all codes.",
    ),
    entry(
        "HB0004",
        "this needs a yes",
        "The command changes something for good, and no one is there to ask.",
        "Add `--yes`.",
    ),
    entry(
        "HB0101",
        "an address cannot be listened on",
        "Another program has the port, or this user may not open it.",
        "Stop the other program, or choose another port: see `honeybee up --help`.",
    ),
    entry(
        "HB0102",
        "the configuration does not hold",
        "A key is unknown or a value is out of range; the message names both.",
        "Mend the line it names. `honeybee core --check` reads the file and touches nothing.",
    ),
    entry(
        "HB0103",
        "the data folder cannot be used",
        "It cannot be written, or its secrets can be read by others.",
        "Check its owner and mode; secrets are 0600 in folders of mode 0700.",
    ),
    entry(
        "HB0104",
        "another Core uses this data folder",
        "The log takes one writer; a second Core on the same folder would harm it.",
        "Stop the other one, or give this one a folder of its own with `--data`.",
    ),
    entry(
        "HB0105",
        "Core could not start",
        "Something in Core's start failed; the cause is in the message.",
        "Mend the cause it names. With RUST_LOG=debug it says more.",
    ),
    entry(
        "HB0106",
        "the node could not start",
        "Something in the node's start failed; the cause is in the message.",
        "Mend the cause it names. `honeybee node --validate` checks the configuration alone.",
    ),
    entry(
        "HB0201",
        "no Core answers",
        "Nothing listens at the address, or it does not speak HTTP.",
        "Start one with `honeybee up`, or name the right one with `--core URL`.",
    ),
    entry(
        "HB0202",
        "no token",
        "There is no token for this Core: the data folder has none, and none was given.",
        "Run this in the folder where `honeybee up` runs, or set HONEYBEE_DATA, or HONEYBEE_CORE and HONEYBEE_TOKEN.",
    ),
    entry(
        "HB0203",
        "the token was refused",
        "Core does not know the token: it was revoked, has expired, or belongs to another Core.",
        "Make a new one with `honeybee tokens create` on Core's own machine.",
    ),
    entry(
        "HB0204",
        "the token may not do this",
        "The token's scopes do not cover the call.",
        "Use one that has the scope the message names.",
    ),
    entry(
        "HB0205",
        "not found",
        "Core has no such thing.",
        "List what there is first, such as with `honeybee nodes ls`.",
    ),
    entry(
        "HB0206",
        "Core refused",
        "Core understood the call and would not do it; the message says why.",
        "Mend the cause it names.",
    ),
    entry(
        "HB0207",
        "this is another Core",
        "The certificate does not descend from the CA that was pinned.",
        "If Core was installed anew, take the fingerprint from its own machine (`honeybee doctor`). If not, something sits in between.",
    ),
    entry(
        "HB0301",
        "this is no join code",
        "The text cannot be read as a join code; a character may be missing.",
        "Copy the whole code again, from `hb1_` to its end.",
    ),
    entry(
        "HB0302",
        "the Core in the code cannot be reached",
        "No connection came about: wrong address, a firewall, or Core is down.",
        "Check that the address in the message can be reached from here, and that Core runs. `honeybee invite --address HOST:PORT` makes a code with another address.",
    ),
    entry(
        "HB0311",
        "the Core that answered is not the one in this join code",
        "The CA of the answering Core has another fingerprint.",
        "Core was installed anew, or something sits between you and it.\nMake a new code there with `honeybee invite`. I will not retry.",
    ),
    entry(
        "HB0312",
        "the join code has expired",
        "Codes are valid for a while only.",
        "Make a new one with `honeybee invite`.",
    ),
    entry(
        "HB0313",
        "the join code is used up",
        "Each code lets in a fixed number of machines.",
        "Make a new one with `honeybee invite`, with `--uses N` for more than one machine.",
    ),
    entry(
        "HB0314",
        "the join code is not known to Core",
        "It was revoked, or belongs to an earlier installation.",
        "Make a new one with `honeybee invite`.",
    ),
    entry("HB0315", "Core refused this node", "The reason is in the message.", "Mend the cause it names."),
    entry(
        "HB0316",
        "this node waits for approval",
        "Core's policy is that a person lets each node in.",
        "On Core: `honeybee nodes approve NAME`. The node keeps trying and gets in then.",
    ),
    entry(
        "HB0317",
        "this folder already belongs to a node",
        "A node's identity is here already.",
        "Start it with `honeybee node --config DIR/config.yaml`, or give the new one another folder with `--dir`.",
    ),
    entry(
        "HB0401",
        "no trap listens",
        "There is nothing to attack: no built-in trap runs on this machine.",
        "`honeybee pots ls` shows what runs; `honeybee up` starts the three traps.",
    ),
    entry(
        "HB0501",
        "the command failed on the node",
        "The node tried and reported a failure; its code and text are in the message.",
        "Mend the cause it names.",
    ),
    entry(
        "HB0502",
        "the command timed out",
        "The node did not answer before the deadline; it may be offline.",
        "`honeybee nodes show NODE` tells its state; `--deadline` gives it longer.",
    ),
    entry(
        "HB0601",
        "Core does not answer",
        "The doctor could not reach Core.",
        "Start it with `honeybee up` or `honeybee core`.",
    ),
    entry(
        "HB0602",
        "secrets can be read by others",
        "A key, token or TOTP file has a mode wider than 0600.",
        "chmod 600 the files named.",
    ),
    entry(
        "HB0603",
        "the disk is nearly full",
        "Less than 5 % or 1 GiB is left where Core writes. When nothing is left Core stops taking events, and nodes keep them.",
        "Free space, or move the data folder.",
    ),
    entry(
        "HB0604",
        "a node is silent",
        "It missed three heartbeats or its connection ended without a goodbye.",
        "On the node: is the process running, can it reach Core's node port?",
    ),
    entry(
        "HB0605",
        "a pot has failed",
        "Its process ends again and again, or never listened.",
        "`honeybee cmd NODE GetPotLogs POT` shows its last lines.",
    ),
    entry(
        "HB0606",
        "clocks differ",
        "The node's clock and Core's differ by more than 50 s: TOTP codes and event times suffer.",
        "Run a time service (chrony, systemd-timesyncd) on both machines.",
    ),
    entry(
        "HB0607",
        "events were lost on a node",
        "Its spool was full and the oldest events were dropped; how many is in the message.",
        "Raise the spool cap, or find out why Core was out of reach for so long.",
    ),
    entry(
        "HB0609",
        "nodes wait for approval",
        "They asked to join and no one has answered.",
        "`honeybee nodes ls` shows them, `honeybee nodes approve NAME` lets one in.",
    ),
    entry(
        "HB0610",
        "Core reports a problem",
        "Core itself says what is wrong, in the message.",
        "As the message says.",
    ),
    entry(
        "HB0611",
        "no events",
        "No event has arrived for a day, or ever.",
        "`honeybee poke` attacks your own traps: if its events arrive, all is well and it is merely quiet.",
    ),
    entry(
        "HB0701",
        "the attack did not arrive",
        "The traps were attacked, but Core did not show the events in time.",
        "`honeybee doctor` looks along the path; `honeybee nodes ls` shows whether the node is connected.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_each_is_there_once() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        assert_eq!(find("hb0311").map(|entry| entry.code), Some("HB0311"));
        assert!(find("HB9999").is_none());
    }
}
