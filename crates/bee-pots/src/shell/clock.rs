//! Time as text. The fake machine's time zone is UTC.

use time::OffsetDateTime;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const FULL_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const FULL_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The date of a Unix time, with years kept in a range every field can show.
pub(crate) fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix.clamp(0, 32_503_680_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `Jan  2 15:04:05`, as in syslog.
pub(crate) fn syslog(unix: i64) -> String {
    strftime("%b %e %H:%M:%S", unix)
}

/// The subset of `strftime` that `date`, `ls`, `who` and `last` need. Unknown directives stay as they are.
pub(crate) fn strftime(format: &str, unix: i64) -> String {
    let t = at(unix);
    let month = usize::from(u8::from(t.month())) - 1;
    let day = usize::from(t.weekday().number_days_from_monday());
    let pick = |names: &[&'static str], n: usize| names.get(n).copied().unwrap_or_default();
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if matches!(chars.peek(), Some('-' | '_' | '0' | ':')) {
            chars.next();
        }
        let text = match chars.next() {
            Some('Y') => t.year().to_string(),
            Some('y') => format!("{:02}", t.year() % 100),
            Some('C') => format!("{:02}", t.year() / 100),
            Some('m') => format!("{:02}", month + 1),
            Some('d') => format!("{:02}", t.day()),
            Some('e') => format!("{:2}", t.day()),
            Some('H') => format!("{:02}", t.hour()),
            Some('I') => format!("{:02}", (t.hour() + 11) % 12 + 1),
            Some('M') => format!("{:02}", t.minute()),
            Some('S') => format!("{:02}", t.second()),
            Some('p') => (if t.hour() < 12 { "AM" } else { "PM" }).to_owned(),
            Some('j') => format!("{:03}", t.ordinal()),
            Some('u') => (day + 1).to_string(),
            Some('w') => ((day + 1) % 7).to_string(),
            Some('V') => format!("{:02}", t.iso_week()),
            Some('b' | 'h') => pick(&MONTHS, month).to_owned(),
            Some('B') => pick(&FULL_MONTHS, month).to_owned(),
            Some('a') => pick(&DAYS, day).to_owned(),
            Some('A') => pick(&FULL_DAYS, day).to_owned(),
            Some('s') => unix.to_string(),
            Some('N') => "482913604".to_owned(),
            Some('Z') => "UTC".to_owned(),
            Some('z') => "+0000".to_owned(),
            Some('F') => strftime("%Y-%m-%d", unix),
            Some('D' | 'x') => strftime("%m/%d/%y", unix),
            Some('T' | 'X') => strftime("%H:%M:%S", unix),
            Some('R') => strftime("%H:%M", unix),
            Some('c') => strftime("%a %b %e %H:%M:%S %Y", unix),
            Some('r') => strftime("%I:%M:%S %p", unix),
            Some('n') => "\n".to_owned(),
            Some('t') => "\t".to_owned(),
            Some('%') => "%".to_owned(),
            Some(other) => format!("%{other}"),
            None => "%".to_owned(),
        };
        out.push_str(&text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_like_the_real_tools() {
        for (format, expect) in [
            ("%a %b %e %H:%M:%S %Z %Y", "Sat Jan  3 07:05:09 UTC 2026"),
            ("%Y-%m-%d %T %s", "2026-01-03 07:05:09 1767423909"),
            ("100%% %Q %", "100% %Q %"),
        ] {
            assert_eq!(strftime(format, 1_767_423_909), expect);
        }
    }
}
