//! The page: tables of results, and whether each target is met.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::measure::{Middle, Times};

/// A table of times.
#[derive(Debug)]
pub(crate) struct Section {
    title: String,
    text: String,
    rows: Vec<[String; 4]>,
    head: [&'static str; 4],
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    what: String,
    wanted: String,
    found: String,
    met: bool,
}

/// A way to compare with a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// No more than this.
    Most(f64),
    /// No less than this.
    Least(f64),
}

impl Section {
    pub(crate) fn new(title: &str, text: &str, head: [&'static str; 4]) -> Self {
        println!("\n{title}");
        Self { title: title.to_owned(), text: text.to_owned(), rows: Vec::new(), head, targets: Vec::new() }
    }

    pub(crate) fn row(&mut self, row: [String; 4]) {
        println!("  {}", row.join("  |  "));
        self.rows.push(row);
    }

    pub(crate) fn target(&mut self, what: &str, limit: Limit, found: f64, unit: &str) {
        let (wanted, met) = match limit {
            Limit::Most(most) => (format!("≤ {most}{unit}"), found <= most),
            Limit::Least(least) => (format!("≥ {least}{unit}"), found >= least),
        };
        let found = format!("{}{unit}", number(found));
        println!("  {} {what}: {found}, wanted {wanted}", if met { "met   " } else { "MISSED" });
        self.targets.push(Target { what: what.to_owned(), wanted, found, met });
    }
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A time in nanoseconds, readable.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{} ns", number(n)),
        n if n < 1e6 => format!("{} µs", number(n / 1e3)),
        n if n < 1e9 => format!("{} ms", number(n / 1e6)),
        n => format!("{} s", number(n / 1e9)),
    }
}

/// A median with the middle half of the measurements around it, times.
pub(crate) fn spread_time(times: &Times) -> String {
    let Middle { median, low, high } = times.middle();
    format!("{} ({} – {})", time(median), time(low), time(high))
}

/// A median with the middle half of the measurements around it, ratios.
pub(crate) fn spread(middle: Middle) -> String {
    format!("{} ({} – {})", number(middle.median), number(middle.low), number(middle.high))
}

/// Bytes per time.
pub(crate) fn rate(bytes: f64, nanoseconds: f64) -> String {
    format!("{} GB/s", number(bytes / nanoseconds))
}

fn first_line(command: &str, arguments: &[&str]) -> String {
    Command::new(command)
        .args(arguments)
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    model.unwrap_or(std::env::consts::ARCH).to_owned()
}

fn system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown system");
    let kernel = first_line("uname", &["-r"]);
    // The version; what follows names a build.
    let version = kernel.split(['-', '+']).next().unwrap_or_default();
    format!("{}, kernel {version}", name.trim_matches('"'))
}

/// The whole page.
pub(crate) fn page(sections: &[Section], left_out: &[&str]) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "# Performance\n\n\
         Written by `cargo xtask bench`; repeat it with the same command. Figures of one machine say little about \
         another, so the targets are ratios, measured in the same run: candidates take turns (ABAB…), and a ratio is \
         the median of the rounds' ratios. In parentheses stands the middle half of all rounds. The \
         library is measured through the blocking client of a directory repository, the command as a process.\n\n\
         | | |\n|---|---|\n| processor | {} |\n| cores | {cores} |\n| system | {} |\n| compiler | {} |\n\
         | peers | asherah {}, {}, {} |\n| date | {} |\n\n## Targets\n\n| target | wanted | found | |\n|---|---|---|---|\n",
        processor(),
        system(),
        first_line("rustc", &["--version"]),
        asherah_version(),
        first_line("rage", &["--version"]),
        format_args!("age {}", first_line("age", &["--version"])),
        first_line("date", &["--utc", "+%F"]),
    );
    for target in sections.iter().flat_map(|section| &section.targets) {
        let met = if target.met { "met" } else { "**missed**" };
        let _ = writeln!(out, "| {} | {} | {} | {met} |", target.what, target.wanted, target.found);
    }
    if !left_out.is_empty() {
        let _ = writeln!(out, "\nLeft out of this run: {}.", left_out.join(", "));
    }
    for section in sections {
        let _ = write!(out, "\n## {}\n\n{}\n\n", section.title, section.text);
        let _ = writeln!(out, "| {} |\n|---|---:|---:|---:|", section.head.join(" | "));
        for row in &section.rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
    }
    out
}

/// As locked, so that the page can't name another version than was measured.
fn asherah_version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    lock.split("name = \"asherah\"\nversion = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("unknown")
}
