//! Certificates, made by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use dkm_testbed::Domain;
use tempfile::TempDir;

use super::stage::Stage;

/// Keys of today's domain controllers.
pub(crate) const EC: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
pub(crate) const RSA: &[&str] = &["rsa:2048"];
pub(crate) const ED25519: &[&str] = &["ed25519"];

/// What `openssl ca` wants to know.
const CONFIGURATION: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nnew_certs_dir = .\n\
    rand_serial = yes\npolicy = any\ncopy_extensions = copy\n[any]\ncommonName = supplied\n";

/// Who signs certificates.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

impl Authority {
    /// Another one than the domain's.
    pub(crate) fn new(key: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let request = ["req", "-x509", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"];
        let arguments = [&request[..], &["-subj", "/CN=authority", "-newkey"], key].concat();
        openssl(folder.path(), &arguments)?;
        Ok(Self { folder })
    }

    /// The domain's.
    pub(crate) fn of_the_domain(stage: &Stage) -> Result<Self> {
        let folder = TempDir::new()?;
        stage.with(|domain: &Domain| {
            for file in ["ca.pem", "ca.key"] {
                std::fs::copy(domain.folder().join(file), folder.path().join(file))?;
            }
            Ok(())
        })?;
        Ok(Self { folder })
    }

    /// Its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a host, signed as `signing` says.
    pub(crate) fn certificate(&self, host: &str, signing: &[&str]) -> Result<Certificate> {
        let folder = self.request(host, "serverAuth")?;
        let sign = ["x509", "-req", "-in", "request.pem", "-out", "cert.pem", "-copy_extensions", "copy"];
        let by = ["-CA", "../ca.pem", "-CAkey", "../ca.key", "-CAcreateserial", "-days", "2"];
        openssl(&folder, &[&sign[..], &by, signing].concat())?;
        Ok(Certificate { chain: folder.join("cert.pem"), key: folder.join("key.pem") })
    }

    /// A certificate that is good between two times, such as `20200101000000Z`.
    pub(crate) fn certificate_between(&self, host: &str, from: &str, until: &str) -> Result<Certificate> {
        let folder = self.request(host, "serverAuth")?;
        std::fs::write(folder.join("ca.cnf"), CONFIGURATION)?;
        std::fs::write(folder.join("index.txt"), "")?;
        let sign = ["ca", "-batch", "-config", "ca.cnf", "-notext", "-in", "request.pem", "-out", "cert.pem"];
        let by = ["-cert", "../ca.pem", "-keyfile", "../ca.key", "-md", "sha256"];
        openssl(&folder, &[&sign[..], &by, &["-startdate", from, "-enddate", until]].concat())?;
        Ok(Certificate { chain: folder.join("cert.pem"), key: folder.join("key.pem") })
    }

    /// A certificate for people's machines, not for servers.
    pub(crate) fn certificate_of_a_client(&self, host: &str) -> Result<Certificate> {
        let folder = self.request(host, "clientAuth")?;
        let sign = ["x509", "-req", "-in", "request.pem", "-out", "cert.pem", "-copy_extensions", "copy"];
        openssl(
            &folder,
            &[&sign[..], &["-CA", "../ca.pem", "-CAkey", "../ca.key", "-CAcreateserial"]].concat(),
        )?;
        Ok(Certificate { chain: folder.join("cert.pem"), key: folder.join("key.pem") })
    }

    /// A new folder with a key and a request.
    fn request(&self, host: &str, usage: &str) -> Result<PathBuf> {
        let folder = tempfile::Builder::new().tempdir_in(self.folder.path())?.keep();
        let names = format!("subjectAltName=DNS:{host}");
        let usage = format!("extendedKeyUsage={usage}");
        let request = ["req", "-new", "-nodes", "-keyout", "key.pem", "-out", "request.pem"];
        let extensions = ["-subj", "/CN=server", "-addext", &names, "-addext", &usage, "-newkey"];
        openssl(&folder, &[&request[..], &extensions, EC].concat())?;
        Ok(folder)
    }
}

impl Certificate {
    /// `tls-server-end-point` as OpenSSL calculates it with this hash function.
    pub(crate) fn binding(&self, digest: &str) -> Result<Vec<u8>> {
        let folder = self.chain.parent().context("no folder")?;
        openssl(folder, &["x509", "-in", "cert.pem", "-outform", "DER", "-out", "cert.der"])?;
        let hash = openssl(folder, &["dgst", digest, "-binary", "cert.der"])?;
        Ok([b"tls-server-end-point:", hash.as_slice()].concat())
    }
}
