//! TLS of the listeners while they run: certificates are read again when their files change, or on SIGHUP.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use ratatosk_connector::{
    lifecycle::Lifecycle,
    tls::{ServerTls, TlsError},
};
use ratatosk_core::{Monitor, MonitorEvent};

use crate::config::{self, Resolved, Tls, raw::TlsSection};

/// The least time between two looks at the files, and the rest where none is wanted.
const SHORTEST: Duration = Duration::from_millis(100);
/// See [`SHORTEST`].
const UNWATCHED: Duration = Duration::from_secs(5);

/// TLS of all listeners. Cloning shares it.
#[derive(Clone)]
pub(super) struct ListenerTls(Arc<Inner>);

struct Inner {
    https: ServerTls,
    mqtts: ServerTls,
    in_force: RwLock<InForce>,
}

struct InForce {
    section: Option<TlsSection>,
    tls: Tls,
}

impl ListenerTls {
    /// None where no certificate is configured.
    pub(super) fn new(resolved: &Resolved) -> Result<Option<Self>, TlsError> {
        let Some(tls) = &resolved.tls else { return Ok(None) };
        let in_force = InForce { section: resolved.raw.tls.clone(), tls: tls.clone() };
        Ok(Some(Self(Arc::new(Inner {
            https: ServerTls::new(&tls.config, &[b"h2", b"http/1.1"])?,
            mqtts: ServerTls::new(&tls.config, &[b"mqtt"])?,
            in_force: RwLock::new(in_force),
        }))))
    }

    pub(super) fn https(&self) -> ServerTls {
        self.0.https.clone()
    }

    pub(super) fn mqtts(&self) -> ServerTls {
        self.0.mqtts.clone()
    }

    /// When each certificate ends, in Unix seconds.
    pub(super) fn ends(&self) -> Vec<(String, i64)> {
        self.0.in_force.read().unwrap_or_else(PoisonError::into_inner).tls.ends.clone()
    }

    /// Puts a new configuration in force, if it has certificates.
    pub(super) fn reload(&self, resolved: &Resolved) -> Result<(), TlsError> {
        let Some(tls) = &resolved.tls else { return Ok(()) };
        self.replace(resolved.raw.tls.clone(), tls.clone())
    }

    fn replace(&self, section: Option<TlsSection>, tls: Tls) -> Result<(), TlsError> {
        // The second cannot fail where the first has not.
        self.0.https.replace(&tls.config)?;
        self.0.mqtts.replace(&tls.config)?;
        *self.0.in_force.write().unwrap_or_else(PoisonError::into_inner) = InForce { section, tls };
        Ok(())
    }

    fn watched(&self) -> (Option<TlsSection>, Vec<PathBuf>, Duration) {
        let in_force = self.0.in_force.read().unwrap_or_else(PoisonError::into_inner);
        (in_force.section.clone(), in_force.tls.files.clone(), in_force.tls.watch)
    }

    /// Looks at the files until the gateway closes.
    pub(super) fn watch(&self, monitor: Monitor, life: &Lifecycle) {
        let (tls, closing) = (self.clone(), life.closing());
        let (_, files, _) = tls.watched();
        let mut seen = looks(&files);
        life.spawn("certificates", async move {
            let watch = async {
                loop {
                    let (_, _, rest) = tls.watched();
                    tokio::time::sleep(if rest.is_zero() { UNWATCHED } else { rest.max(SHORTEST) }).await;
                    let (section, files, rest) = tls.watched();
                    let looks = looks(&files);
                    if !rest.is_zero() && looks != seen {
                        tls.read_again(section, &monitor);
                    }
                    seen = looks;
                }
            };
            tokio::select! {
                () = watch => {}
                () = closing => {}
            }
        });
    }

    fn read_again(&self, section: Option<TlsSection>, monitor: &Monitor) {
        let Some(section) = section else { return };
        let taken = config::load_tls(&section).map_err(|errors| errors.to_string());
        let taken = taken.and_then(|tls| self.replace(Some(section), tls).map_err(|error| error.to_string()));
        match &taken {
            Ok(()) => tracing::info!("certificates have changed, and are shown from now on"),
            Err(fault) => tracing::error!(%fault, "changed certificates are not taken, the old ones stay"),
        }
        monitor.emit(MonitorEvent::CertificatesReloaded { ok: taken.is_ok() });
    }
}

/// What tells a file from another of its name: a new one has another time, length or number.
type Look = Option<(SystemTime, u64, u64)>;

fn looks(files: &[PathBuf]) -> Vec<(PathBuf, Look)> {
    let look = |file: &PathBuf| {
        let data = std::fs::metadata(file).ok()?;
        Some((data.modified().ok()?, data.len(), number(&data)))
    };
    files.iter().map(|file| (file.clone(), look(file))).collect()
}

#[cfg(unix)]
fn number(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn number(_: &std::fs::Metadata) -> u64 {
    0
}
