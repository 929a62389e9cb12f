//! The README is followed literally.

use crate::support::World;

const README: &str = include_str!("../../../../README.md");

/// The blocks of a language that are marked as tested.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let fence = format!("<!-- tested -->\n```{language}\n");
    README.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_commands_of_the_readme_work_in_a_new_home() {
    let world = World::empty();
    let script = format!("set -eu\n{}", blocks("sh").concat());
    assert!(script.matches("dkm ").count() > 10, "{script}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_dkm"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let output = world.shell(&script).env("PATH", path).env_remove("DKM_GROUP").output().unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("correct horse battery staple"), "{said}");
    assert!(said.contains("0 errors"), "{said}");
    assert!(!complained.contains("warning"), "{complained}");
}

#[test]
fn exit_codes_are_the_same_everywhere() {
    let help = World::empty().dkm(["--help"]).succeeded().text();
    for code in 0..=7 {
        let row = README.lines().find(|line| line.starts_with(&format!("| {code} |"))).unwrap();
        let meaning = row.split('|').nth(2).unwrap().trim();
        assert!(help.contains(&format!("  {code}  {meaning}")), "{meaning}");
    }
}
