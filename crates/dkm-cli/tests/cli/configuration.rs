//! Where the repository, the group and everything else come from.

use crate::support::World;

#[test]
fn options_go_before_the_environment_and_that_before_the_file() {
    let world = World::with_group();
    world.dkm(["group", "create", "by-file"]).succeeded();
    world.dkm(["group", "create", "by-option"]).succeeded();
    std::fs::create_dir_all(world.at("config/dkm")).unwrap();
    world.write("config/dkm/config.toml", "group = \"by-file\"\n");
    let name = |arguments: &[&str], environment: Option<&str>| {
        let run = world.dkm_with(["policy", "show", "--json"].iter().chain(arguments), b"", |command| {
            match environment {
                Some(group) => command.env("DKM_GROUP", group),
                None => command.env_remove("DKM_GROUP"),
            };
        });
        run.succeeded().json()["group"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name(&[], None), "by-file");
    // An empty variable is as good as none.
    assert_eq!(name(&[], Some("")), "by-file");
    assert_eq!(name(&[], Some("mail")), "mail");
    assert_eq!(name(&["--group", "by-option"], Some("mail")), "by-option");
}

#[test]
fn an_option_that_is_given_and_empty_is_a_mistake() {
    let world = World::with_group();
    for arguments in [
        &["--repository", "", "key", "list"][..],
        &["key", "list", "--repository="],
        &["key", "list", "-g", ""],
    ] {
        let run = world.dkm(arguments).exits(2);
        assert!(run.stderr.contains("it is empty"), "{}", run.stderr);
    }
    world
        .dkm_with(["key", "list"], b"", |command| {
            command.env("DKM_REPOSITORY", "");
        })
        .succeeded();
}

#[test]
fn the_file_names_all_places() {
    let world = World::empty();
    std::fs::create_dir_all(world.at("config/dkm")).unwrap();
    let at = |name: &str| world.at(name).display().to_string();
    let text = format!(
        "repository = \"dir:{}\"\ngroup = \"mail\"\nroot_keys = \"{}\"\naudit_log = \"{}\"\n",
        at("repo"),
        at("keys"),
        at("log/audit.jsonl")
    );
    world.write("config/dkm/config.toml", text);
    let made = world.dkm(["init", "--json"]).succeeded().json();
    assert_eq!(made["root_keys"].as_str().unwrap(), at("keys"));
    world.dkm(["group", "create", "mail"]).succeeded();
    for place in ["repo/groups", "keys", "log/audit.jsonl"] {
        assert!(world.at(place).exists(), "{place}");
    }
    assert!(!world.at("data").exists() && !world.at("state/dkm/audit.jsonl").exists());
}

#[test]
fn a_misspelt_key_is_an_error_that_names_the_line() {
    let world = World::empty();
    std::fs::create_dir_all(world.at("config/dkm")).unwrap();
    world.write("config/dkm/config.toml", "group = \"mail\"\nrepositry = \"dir:/x\"\n");
    let run = world.dkm(["group", "list"]).exits(2);
    assert!(run.stderr.contains("config.toml, line 2: unknown field repositry"), "{}", run.stderr);
    // What needs no configuration does not fail for it.
    world.dkm(["completions", "bash"]).succeeded();
    let named = world.dkm_with(["group", "list"], b"", |command| {
        command.env("DKM_CONFIG", world.at("none.toml"));
    });
    named.exits(3);
}

#[test]
fn without_a_home_the_repository_must_be_named() {
    let world = World::with_group();
    let homeless = |command: &mut std::process::Command| {
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
    };
    let run = world.dkm_with(["group", "list"], b"", homeless).exits(2);
    assert!(run.stderr.contains("DKM_REPOSITORY"), "{}", run.stderr);
    let url = format!("dir:{}", world.repository().display());
    world.dkm_with(["protect", "--repository", &url], b"x", homeless).succeeded();
}

#[test]
fn the_client_id_stays_the_same() {
    let world = World::with_group();
    let read = || std::fs::read_to_string(world.at("state/dkm/client-id")).unwrap();
    let id = read();
    assert_eq!(id.trim().len(), 32);
    world.dkm(["group", "list"]).succeeded();
    assert_eq!(read(), id);
}
