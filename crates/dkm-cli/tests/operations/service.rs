//! The service of the example, as a process of its own.

use std::path::PathBuf;
use std::process::Child;

use crate::world::{Seat, until};

#[path = "../../../dkm-ad/examples/service.rs"]
#[allow(dead_code)]
mod example;

/// Set in the process that is the service: what it is started with.
const ARGUMENTS: &str = "DKM_TEST_SERVICE";

#[test]
fn as_a_process_of_its_own() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let words: Vec<&str> = arguments.split(' ').collect();
    example::serve(words[0], words[1], words[2].as_ref(), words[3].as_ref()).unwrap();
}

/// A running service; it ends with the test.
pub(crate) struct Service {
    child: Child,
    pub(crate) pipe: PathBuf,
    output: PathBuf,
    pub(crate) journal: PathBuf,
}

impl Service {
    /// Starts it, and waits until it has the group's keys.
    pub(crate) fn start(seat: &Seat, url: &str) -> Self {
        let at = |name: &str| seat.home.join(name);
        let (pipe, output, journal) = (at("control"), at("service.log"), at("service-audit.jsonl"));
        seat.sh("mkfifo -m 600 control").done();
        let arguments = format!("{url} mail {} {}", pipe.display(), journal.display());
        let mut command = seat.command(std::env::current_exe().unwrap());
        command
            .args(["--exact", "service::as_a_process_of_its_own", "--nocapture"])
            .env(ARGUMENTS, arguments);
        let log = std::fs::File::create(&output).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let service = Self { child, pipe, output, journal };
        service.until_says("serving mail");
        service
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    #[track_caller]
    pub(crate) fn until_says(&self, text: &str) {
        until(&format!("the service says {text:?}"), || {
            let said = self.said();
            assert!(!said.contains("panicked"), "{said}");
            said.contains(text)
        });
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
