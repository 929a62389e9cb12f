//! docs/operations.md, and which test runs which of its commands.

/// The page.
pub(crate) const PAGE: &str = include_str!("../../../../docs/operations.md");

/// Each test of a runbook, and the blocks of the page that it runs, in this order.
pub(crate) const RUNBOOKS: &[(&str, &[&str])] = &[
    ("root key", &["root-key-first", "root-key-make", "root-key-check", "root-key-use", "root-key-see"]),
    ("lost controller", &["lost-dc-see", "lost-dc-lacks", "lost-dc-decisions", "lost-dc-done"]),
    ("archive", &["archive-keep", "archive-look", "archive-keys", "archive-done"]),
    ("lost group", &["archive-group"]),
    ("set back", &["set-back-service", "set-back-look", "set-back-put", "set-back-done"]),
    ("republish", &["republish-look", "republish", "republish-named", "republish-service"]),
    ("upgrade", &["upgrade-before", "upgrade-one", "upgrade-see"]),
    ("removal", &["removal-roll", "removal-compromise", "removal-see"]),
    ("monitor", &["monitor-doctor", "monitor-audit"]),
];

/// A block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The name under which a test runs it; none for one that says that it is not run.
    pub(crate) name: Option<String>,
    pub(crate) text: String,
}

/// Every block of commands on a page, in order.
///
/// # Errors
/// A block that says neither which test runs it nor why none does; a block in another language that could hold commands.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut found = Vec::new();
    let mut before = "";
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            before = line;
            continue;
        };
        let text: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| !line.trim_start().starts_with("```"))
            .collect();
        let at = number + 1;
        let mark = before.trim().strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->"));
        let name = match (language, mark) {
            ("text" | "ini", _) => continue,
            ("sh", Some(mark)) if mark.strip_prefix("not run: ").is_some_and(|why| !why.is_empty()) => None,
            ("sh", Some(mark)) => match mark.strip_prefix("run: ") {
                Some(name) => Some(name.to_owned()),
                None => {
                    return Err(format!("line {at}: {mark:?} says neither `run: NAME` nor `not run: WHY`"));
                }
            },
            ("sh", None) => return Err(format!("line {at}: nothing says which test runs these commands")),
            (other, _) => return Err(format!("line {at}: commands are in ```sh, not in ```{other}")),
        };
        found.push(Block { name, text: text.join("\n") });
        before = "";
    }
    Ok(found)
}

/// The block of this name.
pub(crate) fn block(name: &str) -> Block {
    let all = blocks(PAGE).unwrap();
    all.into_iter()
        .find(|block| block.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("no block {name}"))
}

#[test]
fn every_command_of_the_page_is_run_by_a_test_or_says_why_not() {
    let mut on_page: Vec<String> = blocks(PAGE).unwrap().into_iter().filter_map(|block| block.name).collect();
    let mut in_tests: Vec<&str> = RUNBOOKS.iter().flat_map(|(_, blocks)| *blocks).copied().collect();
    on_page.sort_unstable();
    in_tests.sort_unstable();
    assert_eq!(on_page, in_tests);
    let count = in_tests.len();
    in_tests.dedup();
    assert_eq!(in_tests.len(), count, "a block is run by one test");
}

#[test]
fn commands_that_nothing_runs_are_found() {
    let run = "<!-- run: x -->\n```sh\ndkm doctor\n```\n";
    assert_eq!(blocks(run).unwrap(), [Block { name: Some("x".to_owned()), text: "dkm doctor".to_owned() }]);
    assert_eq!(blocks("<!-- not run: a name of yours -->\n```sh\nx\n```\n").unwrap()[0].name, None);
    assert!(blocks("```text\noutput\n```\n").unwrap().is_empty());
    for evasion in [
        "```sh\ndkm doctor\n```\n",
        "<!-- run: x -->\n\ntext\n```sh\ndkm doctor\n```\n",
        "<!-- not run: -->\n```sh\ndkm doctor\n```\n",
        "<!-- run: x -->\n```bash\ndkm doctor\n```\n",
        "```\ndkm doctor\n```\n",
        "<!-- run: x -->\n```sh\ndkm doctor\n```\n```sh\ndkm doctor\n```\n",
    ] {
        assert!(blocks(evasion).is_err(), "{evasion}");
    }
}
