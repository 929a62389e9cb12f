//! The tour: one run, no question, and its last words are true.

use crate::support::World;

#[test]
fn the_tour_in_text() {
    let world = World::empty();
    let run = world.dkm(["quickstart"]).succeeded();
    assert_eq!(run.stderr, "");
    let text = run.text();
    // Nothing is written outside of its folder.
    let entries: Vec<_> =
        std::fs::read_dir(world.at("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["dkm-quickstart"]);
    insta::assert_snapshot!("quickstart", timeless(&world.session(&[run])));

    // The five commands work as they stand there, without dkm on the path.
    let script: String = text
        .lines()
        .skip_while(|line| !line.starts_with("Five commands"))
        .skip(1)
        .take_while(|line| !line.starts_with("dkm --help"))
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    assert_eq!(script.matches("dkm ").count(), 5, "{script}");
    let output = world.shell(&format!("set -e\n{script}")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("my first secret") && said.contains("0 errors"), "{said}");
}

#[test]
fn the_tour_in_json_with_a_file_of_ones_own_and_again() {
    let world = World::empty();
    world.write("notes.txt", "my notes");
    let tour =
        world.dkm(["quickstart", "--file", "notes.txt", "--folder", "tour", "--json"]).succeeded().json();
    assert_ne!(tour["first_key"], tour["second_key"]);
    for name in ["blob", "archive", "archive_identity"] {
        assert!(std::path::Path::new(tour[name].as_str().unwrap()).is_file(), "{name}");
    }
    // What the archive needs is all there: it opens with the identity.
    let inspected = world
        .dkm(["archive", "inspect", "tour/archive.age", "--identity", "tour/archive-identity.txt", "--json"])
        .succeeded()
        .json();
    assert_eq!(inspected["keys"].as_array().unwrap().len(), 2);
    // The folder is kept unless it may go.
    let again = world.dkm(["quickstart", "--folder", "tour"]).exits(2);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    let foreign = world.dkm(["quickstart", "--folder", ".", "--force"]).exits(2);
    assert!(foreign.stderr.contains("--folder"), "{}", foreign.stderr);
    assert!(world.at("notes.txt").exists());
}

/// Bars and waiting times depend on the machine's speed, lengths on the README.
fn timeless(text: &str) -> String {
    let line = |line: &str| {
        let bar = line.find(['█', '·', '░', '×', '▒']).filter(|_| line.starts_with('['));
        if let Some(at) = bar {
            return format!("{}[bar]", &line[..at]);
        }
        if line.contains("export PATH=") {
            return "   export PATH=[folder of dkm]:\"$PATH\"".to_owned();
        }
        if line.trim() == "↑ now" {
            return "↑ now".to_owned();
        }
        if let Some(at) = line.find("It protects in ") {
            return format!("{}It protects in …", &line[..at]);
        }
        if line.contains(" bytes") {
            let number = |word: &str| word.trim_end_matches(':').chars().all(|c| c.is_ascii_digit());
            let words =
                line.split(' ').map(|word| if !word.is_empty() && number(word) { "[n]" } else { word });
            return words.collect::<Vec<_>>().join(" ");
        }
        line.to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
