//! The certificate that is mounted: read again and again, and swapped without a restart.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::http::Health;
use crate::serving_certificate::{Bundle, Pair, data};

/// The certificate that is served now, if there is one.
#[derive(Default)]
pub(super) struct Served(RwLock<Option<Pair>>);

impl Served {
    fn get(&self) -> Option<Pair> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, pair: Pair) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(pair);
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.get().map(|pair| pair.presented())
    }
}

/// The files of a mounted Secret, and what is served of them.
pub(super) struct Mounted {
    pub(super) folder: PathBuf,
    pub(super) served: Arc<Served>,
}

impl Mounted {
    /// Serves what is mounted, and says whether clients will accept it, for ever. Once the process is to end, the
    /// readiness is no longer this one's to say.
    pub(super) async fn follow(&self, pause: Duration, health: &Health, draining: watch::Receiver<bool>) -> Infallible {
        loop {
            let checked = self.look(UnixTime::now());
            if !*draining.borrow() {
                match checked {
                    Ok(()) => health.ready(true, "serving"),
                    Err(problem) => health.ready(false, problem),
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads the files, and takes up a pair that verifies by the bundle beside it. Ready is a replica whose certificate
    /// verifies by that bundle, even if the pair beside it is broken, or half of it is read before and half after a swap.
    fn look(&self, now: UnixTime) -> Result<(), String> {
        let bundle = Bundle::parse(&self.read(data::BUNDLE)?);
        let mounted = self.mounted_pair(&bundle, now);
        match (mounted, self.served.get()) {
            (Ok(pair), served) => {
                if served.is_none_or(|served| !served.is(&pair)) {
                    tracing::info!("a new certificate is served");
                    self.served.set(pair);
                }
                Ok(())
            }
            (Err(problem), Some(served)) => served.verify(&bundle, &[], now).map_err(|_| problem),
            (Err(problem), None) => Err(problem),
        }
    }

    fn mounted_pair(&self, bundle: &Bundle, now: UnixTime) -> Result<Pair, String> {
        let (certificate, key) = (self.read(data::CERTIFICATE)?, self.read(data::KEY)?);
        let pair = Pair::parse(&certificate, &key).map_err(|problem| problem.to_string())?;
        pair.verify(bundle, &[], now).map_err(|problem| problem.to_string())?;
        Ok(pair)
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, String> {
        let path = self.folder.join(file);
        fs::read(&path).map_err(|error| {
            let what = if error.kind() == io::ErrorKind::NotFound { "is not there yet" } else { "cannot be read" };
            format!("{} {what} ({error})", path.display())
        })
    }
}

#[cfg(test)]
mod tests;
