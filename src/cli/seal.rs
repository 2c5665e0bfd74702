//! `seal`: makes sealed jobs of jobs in the clear, as any sender can.

use std::io::{self, Write};
use std::path::PathBuf;

use super::submit::input::{InputError, Template};
use super::{Exit, complain, print};
use crate::contract::{self, Rejected};
use crate::sealing::PublicKey;

/// Options of `seal`.
#[derive(Debug, Clone, clap::Args)]
pub struct SealOptions {
    /// Jobs as JSON, a JSON array or JSON Lines; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The worker's public key, as `keygen` prints it
    #[arg(long, value_name = "PUBLIC_KEY", allow_hyphen_values = true)]
    to: String,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("--to is no public key, expected 32 bytes in base64url, as keygen prints them")]
    Key,
    #[error("cannot read the jobs")]
    Input(#[from] InputError),
    #[error("job {index} cannot be sealed")]
    Job { index: usize, source: Rejected },
}

/// Prints the sealed jobs as JSON Lines: all of them, or none.
pub fn run(options: &SealOptions) -> Exit {
    match seal(options) {
        Ok(jobs) => print(|out| write_lines(out, &jobs)),
        Err(error @ Error::Key) => complain(&error, Exit::Usage),
        Err(error) => complain(&error, Exit::Data),
    }
}

fn seal(options: &SealOptions) -> Result<Vec<String>, Error> {
    let key = PublicKey::parse(&options.to).ok_or(Error::Key)?;
    let template = Template::read(&options.file, None)?;
    let jobs = template.messages().enumerate().map(|(index, job)| {
        contract::seal(&job?.body, key).map_err(|source| Error::Job { index: index + 1, source })
    });
    jobs.collect()
}

fn write_lines(out: &mut dyn Write, jobs: &[String]) -> io::Result<()> {
    jobs.iter().try_for_each(|job| writeln!(out, "{}", job.replace(['\n', '\r'], " ")))
}
