//! Certificates for tests, made by `openssl` as an operator would make them.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// An authority, a server certificate for `localhost` and 127.0.0.1, and a client certificate; files in a temporary directory.
pub struct Certificates {
    directory: TempDir,
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificates {
    /// Makes them.
    ///
    /// # Panics
    /// When `openssl` fails.
    #[must_use]
    pub fn new() -> Self {
        let certificates = Self { directory: TempDir::new().expect("a temporary directory") };
        certificates.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.crt -subj /CN=test-authority");
        std::fs::write(
            certificates.path("server.ext"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
        )
        .expect("a file to write");
        std::fs::write(certificates.path("client.ext"), "extendedKeyUsage=clientAuth\n").expect("a file to write");
        for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=device-7")] {
            certificates.openssl(&format!("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj {subject}"));
            certificates.openssl(&format!("x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.crt"));
        }
        certificates
    }

    /// Makes, or makes anew, `{name}.crt` and `{name}.key` for this subject (`/CN=...`), with these lines of extensions, valid for so
    /// many days from now; -1 makes one that has expired.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn issue(&self, name: &str, subject: &str, extensions: &str, days: i32) {
        std::fs::write(self.path(&format!("{name}.ext")), extensions).expect("a file to write");
        self.openssl(&format!("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.new -out {name}.csr -subj {subject}"));
        self.openssl(&format!("x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.made"));
        // In their places at once each, as those who renew certificates do it.
        for (from, to) in [("new", "key"), ("made", "crt")] {
            let (from, to) = (self.path(&format!("{name}.{from}")), self.path(&format!("{name}.{to}")));
            std::fs::rename(from, to).expect("a file to rename");
        }
    }

    /// Withdraws `{name}.crt`: writes `crl.pem`.
    ///
    /// # Panics
    /// When `openssl` fails.
    pub fn revoke(&self, name: &str) {
        let at = self.directory.path().display();
        let config = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={at}/index\ncrlnumber={at}/crlnumber\ncertificate={at}/ca.crt\nprivate_key={at}/ca.key\ndefault_md=sha256\ndefault_crl_days=2\ncrl_extensions=ext\n[ext]\nauthorityKeyIdentifier=keyid\n"
        );
        for (file, text) in [("ca.cnf", config.as_str()), ("index", ""), ("crlnumber", "01\n")] {
            std::fs::write(self.path(file), text).expect("a file to write");
        }
        self.openssl(&format!("ca -config ca.cnf -revoke {name}.crt"));
        self.openssl("ca -config ca.cnf -gencrl -out crl.pem");
    }

    /// The subject that a server shows (`openssl s_client`) to a client that asks for a name; empty without a handshake.
    ///
    /// # Panics
    /// When `openssl` cannot be run.
    #[must_use]
    pub fn shown_by(&self, server: std::net::SocketAddr, name: Option<&str>) -> String {
        let server = server.to_string();
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect", &server, "-CAfile", &self.text("ca.crt")])
            .stdin(std::process::Stdio::null());
        match name {
            Some(name) => command.args(["-servername", name]),
            None => command.arg("-noservername"),
        };
        let output = command.output().expect("openssl is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let subject = text.lines().find_map(|line| line.strip_prefix("subject="));
        subject.map(|subject| subject.trim().replace("CN = ", "CN=").replace("CN=", "")).unwrap_or_default()
    }

    /// The path of `ca.crt`, `server.crt`, `server.key`, `client.crt` or `client.key`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same as text.
    ///
    /// # Panics
    /// When the temporary directory is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.directory.path()).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
