//! The whole reference of the command, so that a change of any help text or option is seen in review.

use crate::support::World;

#[test]
fn the_whole_reference() {
    let world = World::empty();
    let mut out = String::new();
    describe(&world, &[], &mut out);
    insta::assert_snapshot!("reference", out);
}

/// The help of a command and, recursively, of its subcommands.
fn describe(world: &World, words: &[&str], out: &mut String) {
    let command = format!("dkm {}", words.join(" "));
    let help = world.dkm(words.iter().copied().chain(["--help"])).succeeded().text();
    out.push_str(&format!("===== {}\n\n{}\n", command.trim_end(), help.trim_end()));
    out.push('\n');
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in commands.take_while(|line| !line.is_empty()) {
        // Lines that go on with a long description are indented further.
        if let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            let name = name.split_whitespace().next().unwrap();
            describe(world, &words.iter().copied().chain([name]).collect::<Vec<_>>(), out);
        }
    }
}

#[test]
fn every_command_shows_an_example_in_its_help() {
    let mut reference = String::new();
    describe(&World::empty(), &[], &mut reference);
    for section in reference.split("===== ").skip(2) {
        let command = section.lines().next().unwrap();
        if section.contains("\nCommands:\n") {
            continue;
        }
        let example = section.split("Example").nth(1).unwrap_or_default();
        assert!(example.contains(command), "{command}");
    }
}

#[test]
fn manual_and_completions_cover_every_command() {
    let world = World::empty();
    let wrote = world.dkm(["man", "--folder", "man", "--json"]).succeeded().json();
    let pages: Vec<&str> = wrote["pages"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    for page in ["dkm.1", "dkm-protect.1", "dkm-key-destroy.1", "dkm-archive-export.1"] {
        assert!(pages.contains(&page), "{pages:?}");
        let text = std::fs::read_to_string(world.at("man").join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    let main = world.dkm(["man"]).succeeded().text();
    assert!(main.contains("Exit codes"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.dkm(["completions", shell]).succeeded().text();
        assert!(script.contains("unprotect") && script.contains("compromise"), "{shell}");
    }
    world.dkm(["completions", "tcsh"]).exits(2);
}
