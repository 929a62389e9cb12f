//! Finds the tools that a command needs, and installs what is missing where it may.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// A tool of the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// What it is for, to be told to the user.
    purpose: &'static str,
    /// Debian's package.
    package: &'static str,
    /// Whether it is there.
    present: fn() -> bool,
}

/// The judge of archives, and a peer in measurements.
pub(crate) const AGE: Tool =
    Tool { purpose: "opens our archives independently", package: "age", present: || shell::has("age") };
/// The judge of signatures.
pub(crate) const SSH_KEYGEN: Tool = Tool {
    purpose: "makes and checks SSH signatures independently",
    package: "openssh-client",
    present: || shell::has("ssh-keygen"),
};
/// Python, for the independent reader of the vectors.
pub(crate) const PYTHON: Tool = Tool {
    purpose: "runs the independent reader of the format",
    package: "python3",
    present: || shell::has("python3"),
};
/// Python's own environments. Debian ships them apart.
pub(crate) const PYTHON_VENV: Tool = Tool {
    purpose: "gives the independent reader its own packages",
    package: "python3-venv",
    present: || shell::succeeds(shell::command("python3").args(["-c", "import ensurepip, venv"])),
};
/// Runs a test as another user.
pub(crate) const SETPRIV: Tool = Tool {
    purpose: "runs tests of access control as other users",
    package: "util-linux",
    present: || shell::has("setpriv"),
};
/// Makes a small or read-only disk for a test.
pub(crate) const MOUNT: Tool =
    Tool { purpose: "gives tests a full disk", package: "mount", present: || shell::has("mount") };
/// libFuzzer is C++.
pub(crate) const CPLUSPLUS: Tool =
    Tool { purpose: "builds libFuzzer", package: "g++", present: || shell::has("c++") || shell::has("g++") };

/// What a Samba domain for tests is made of, and what the Kerberos client in `dkm-ad` is built with. Names that are the
/// same from Debian 12 on.
pub(crate) const DOMAIN: &[Tool] = &[
    domain("samba", || shell::has("samba")),
    domain("samba-common-bin", || shell::has("samba-tool")),
    domain("samba-ad-dc", || shell::has("samba") && shell::has("samba_kcc")),
    domain("samba-ad-provision", || present("/usr/share/samba/setup/provision.ldif")),
    domain("samba-dsdb-modules", || library("samba/ldb/samba_dsdb.so")),
    domain("samba-vfs-modules", || library("samba/vfs/acl_xattr.so")),
    domain("winbind", || shell::has("winbindd")),
    domain("python3-samba", || present("/usr/lib/python3/dist-packages/samba/samdb.py")),
    domain("krb5-user", || shell::has("kinit") && shell::has("kvno")),
    domain("ldb-tools", || shell::has("ldbsearch")),
    domain("ldap-utils", || shell::has("ldapsearch")),
    domain("libsasl2-modules-gssapi-mit", || library("sasl2/libgssapiv2.so")),
    domain("openssl", || shell::has("openssl")),
    domain("iproute2", || shell::has("ip")),
    Tool {
        purpose: "builds the Kerberos client",
        package: "libkrb5-dev",
        present: || present("/usr/include/krb5.h") && shell::has("krb5-config"),
    },
    // Of every version; the headers are in a package that this one needs.
    Tool { purpose: "reads Kerberos' headers for the build", package: "libclang-dev", present: libclang },
];

const fn domain(package: &'static str, present: fn() -> bool) -> Tool {
    Tool { purpose: "runs an Active Directory domain for tests", package, present }
}

fn present(path: &str) -> bool {
    Path::new(path).exists()
}

/// The folders of libraries, those of the machine's architecture too.
fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from).into();
    folders.extend(subfolders("/usr/lib"));
    folders
}

fn subfolders(path: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn library(path: &str) -> bool {
    library_folders().iter().any(|folder| folder.join(path).exists())
}

/// The library, and the headers that belong to the compiler: one without the other is of no use.
fn libclang() -> bool {
    let is_libclang = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libclang.so") || name.starts_with("libclang-") && name.contains(".so")
    };
    let mut folders = library_folders();
    folders.extend(subfolders("/usr/lib").into_iter().map(|folder| folder.join("lib")));
    let library =
        folders.iter().any(|folder| fs::read_dir(folder).into_iter().flatten().flatten().any(is_libclang));
    library && subfolders("/usr/lib/clang").iter().any(|folder| folder.join("include/stddef.h").exists())
}

/// Makes sure that every one of these is installed.
///
/// # Errors
/// Something is missing and can't be installed from here; says what to do.
pub(crate) fn need(tools: &[Tool]) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    println!("installing {}", packages.join(" "));
    let installed = install(&packages);
    let missing = self::missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        missing.iter().map(|tool| format!("  {:<15} {}", tool.package, tool.purpose)).collect();
    let advice = format!(
        "these Debian packages are missing:\n{}\nInstall them (as root: apt-get install {}), or what holds the \
         same programs on your system, and start again",
        list.join("\n"),
        packages.join(" ")
    );
    match installed {
        Ok(()) => bail!(advice),
        Err(error) => Err(error.context(advice)),
    }
}

fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools.iter().copied().filter(|tool| !(tool.present)()).collect()
}

/// With apt, as root or through a sudo that asks nothing.
fn install(packages: &[&str]) -> Result<()> {
    if !shell::has("apt-get") {
        bail!("this system has no apt-get");
    }
    let root = shell::output(shell::command("id").arg("-u"))?.trim() == "0";
    if !root && !shell::succeeds(shell::command("sudo").args(["-n", "true"])) {
        bail!("installing needs root, or a sudo that asks for no password");
    }
    let apt = |arguments: &[&str]| {
        let mut command = shell::command(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        shell::run(command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y"]).args(arguments))
    };
    apt(&["update"])?;
    let mut arguments = vec!["install", "--no-install-recommends"];
    // A release may have merged a package into another, and one unknown name makes apt refuse them all.
    let known = |package: &&&str| shell::succeeds(shell::command("apt-cache").args(["show", package]));
    arguments.extend(packages.iter().filter(known));
    apt(&arguments)
}

/// A program from crates.io, built into our own tools folder unless it is there already.
///
/// # Errors
/// It can't be fetched or built.
pub(crate) fn cargo_tool(package: &str, program: &str) -> Result<()> {
    if shell::has(program) {
        return Ok(());
    }
    println!("building {package} (once)");
    shell::run(
        shell::cargo().args(["install", "--quiet", "--locked", "--root"]).arg(shell::tools()).arg(package),
    )
}

/// The Python of the independent reader; made when needed.
///
/// # Errors
/// Python can't make it, or pip can't fetch the packages.
pub(crate) fn python() -> Result<PathBuf> {
    environment("venv", "requirements.txt", "cryptography")
}

/// The program that asks `dkmd` what its description says, and much that it does not say; made when needed.
///
/// # Errors
/// Python can't make its environment, or pip can't fetch the packages.
pub(crate) fn schemathesis() -> Result<PathBuf> {
    let python = environment("api-venv", "requirements-api.txt", "schemathesis")?;
    Ok(python.with_file_name("schemathesis"))
}

/// The Python of an environment that holds exactly the packages of a file; made when needed. It works if it can import
/// `module`.
fn environment(name: &str, requirements: &str, module: &str) -> Result<PathBuf> {
    need(&[PYTHON, PYTHON_VENV])?;
    let wanted_path = shell::root().join("xtask").join(requirements);
    let wanted =
        fs::read_to_string(&wanted_path).with_context(|| format!("can't read {}", wanted_path.display()))?;
    let folder = shell::own_folder().join(name);
    // Written last: an environment that was not finished has none, and is made again.
    let stamp = folder.join("requirements-installed.txt");
    let python = folder.join("bin/python");
    let works = || shell::succeeds(shell::command(&python).args(["-c", &format!("import {module}")]));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && works() {
        return Ok(python);
    }
    println!("making the Python environment {}", folder.display());
    shell::run(shell::command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    shell::run(
        shell::command(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&wanted_path),
    )?;
    if !works() {
        bail!("the Python environment {} does not work; remove it and start again", folder.display());
    }
    fs::write(&stamp, wanted).with_context(|| format!("can't write {}", stamp.display()))?;
    Ok(python)
}
