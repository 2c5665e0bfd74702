//! `keygen`: a key pair for sealed jobs.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::{Exit, complain, print};
use crate::sealing::{self, SealError};

/// Options of `keygen`.
#[derive(Debug, Clone, clap::Args)]
pub struct KeygenOptions {
    /// Where the private key goes, for the worker's `SEALING_KEY_FILES`; a file that is there is left alone
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no key pair can be made")]
    Key(#[from] SealError),
    #[error("cannot write a new file {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the private key, and prints the public one.
pub fn run(options: &KeygenOptions) -> Exit {
    match generate(&options.file) {
        Ok(public) => print(|out| writeln!(out, "{public}")),
        Err(error @ Error::Key(_)) => complain(&error, Exit::Software),
        Err(error @ Error::Write { .. }) => complain(&error, Exit::Data),
    }
}

fn generate(path: &Path) -> Result<sealing::PublicKey, Error> {
    let (public, jwk) = sealing::generate()?;
    let write = || {
        // Nobody else may read it, not even before it is written.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", jwk.expose_secret())?;
        file.sync_all()
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })?;
    Ok(public)
}
