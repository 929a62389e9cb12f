//! The library example of the README, as it stands there.

use crate::support::World;

// README: begin
use dkm::blocking::{Client, Options};
use dkm::{Context, Location};

fn store_and_read_back(repository: &Location) -> dkm::Result<()> {
    // Once per process: keys stay in memory, and a thread keeps them fresh.
    let client = Client::open(repository, Options::default())?;
    let mail = client.group("mail")?;

    let context = Context::new().with("account", "alice")?;
    let blob = mail.protect(&context, b"correct horse battery staple")?;
    let secret = mail.unprotect(&context, &blob)?;
    assert_eq!(&*secret, b"correct horse battery staple");
    Ok(())
}
// README: end

#[test]
fn the_example_works() {
    let world = World::with_group();
    store_and_read_back(&Location::directory(world.repository())).unwrap();
}

#[test]
fn the_readme_shows_this_very_example() {
    let here = include_str!("library.rs");
    let example = here.split("// README: begin\n").nth(1).unwrap().split("// README: end").next().unwrap();
    let shown = crate::readme::blocks("rust").concat();
    assert_eq!(shown, example);
}
