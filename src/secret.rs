//! Where a secret comes from: given directly, or a file that can be read again after a rotation.
//!
//! Knows nothing about what the secret is for. No error and no `Debug` here shows a value, only the path.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

/// Tokens and client secrets are a few KiB at most; whatever is longer is the wrong file.
const MAX_LENGTH: u64 = 64 * 1024;

/// For the longest secret, and for what `read_to_end` wants to see beyond the end of a file.
const ROOM: usize = 64 * 1024 + 64;

/// Where a secret comes from.
#[derive(Clone)]
pub enum SecretSource {
    /// The value itself. It never changes.
    Inline(SecretString),
    /// A file, such as a mounted Kubernetes secret. Whoever rotates the secret rewrites the file.
    File(PathBuf),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error("cannot read the secret in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not UTF-8 text.
    #[error("the secret in {} is not text", .0.display())]
    NotText(PathBuf),
    /// The file is longer than any secret.
    #[error("{} is longer than {MAX_LENGTH} bytes, so it is no secret", .0.display())]
    TooLong(PathBuf),
    /// The file holds nothing.
    #[error("the secret in {} is empty", .0.display())]
    EmptyFile(PathBuf),
    /// The value given directly is empty.
    #[error("the secret is empty")]
    Empty,
}

impl SecretSource {
    /// Reads the secret as it is now, without the line end that editors and `echo` leave at the end of a file, and that
    /// such a file brings along when it becomes a variable.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Inline(value) => match without_line_end(value.expose_secret()) {
                "" => Err(SecretError::Empty),
                value => Ok(SecretString::from(value)),
            },
            Self::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Room for all of it, or what it has outgrown would be left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM));
    file.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(SecretError::TooLong(path.to_owned()));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NotText(path.to_owned()))?;
    match without_line_end(text) {
        "" => Err(SecretError::EmptyFile(path.to_owned())),
        value => Ok(SecretString::from(value)),
    }
}

/// One line end is nobody's secret; whatever else stands there may be.
fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// The same value, or the same file.
impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(one), Self::Inline(other)) => one.expose_secret() == other.expose_secret(),
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Inline(_) | Self::File(_), _) => false,
        }
    }
}

impl Eq for SecretSource {}

impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => formatter.write_str("Inline([redacted])"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file_with(content: &[u8]) -> (tempfile::NamedTempFile, SecretSource) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let source = SecretSource::File(file.path().to_owned());
        (file, source)
    }

    #[test]
    fn one_line_end_is_trimmed_and_nothing_else() {
        for (content, expected) in [
            (&b"s3cret"[..], "s3cret"),
            (b"s3cret\n", "s3cret"),
            (b"s3cret\r\n", "s3cret"),
            (b"s3cret\n\n", "s3cret\n"),
            (b" s3cret ", " s3cret "),
        ] {
            let (_file, file) = file_with(content);
            let inline = SecretSource::Inline(str::from_utf8(content).unwrap().into());
            for source in [file, inline] {
                assert_eq!(source.read().unwrap().expose_secret(), expected, "{source:?}");
            }
        }
    }

    #[test]
    fn a_file_is_read_anew_each_time() {
        let (file, source) = file_with(b"old");
        assert_eq!(source.read().unwrap().expose_secret(), "old");
        std::fs::write(file.path(), "new").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "new");
    }

    #[test]
    fn what_is_no_secret_is_refused_with_its_path_and_without_its_value() {
        let (_a, empty) = file_with(b"\n");
        assert!(matches!(empty.read(), Err(SecretError::EmptyFile(_))));
        let (_b, binary) = file_with(b"canary\xff");
        let error = binary.read().unwrap_err();
        assert!(matches!(&error, SecretError::NotText(_)));
        assert!(!format!("{error} {error:?}").contains("canary"));
        let (_c, long) = file_with(&vec![b'x'; 70_000]);
        assert!(matches!(long.read(), Err(SecretError::TooLong(_))));
        let absent = SecretSource::File("/nowhere/token".into()).read().unwrap_err();
        assert_eq!(absent.to_string(), "cannot read the secret in /nowhere/token");
        for empty in ["", "\n", "\r\n"] {
            assert!(matches!(SecretSource::Inline(empty.into()).read(), Err(SecretError::Empty)));
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", SecretSource::Inline("canary".into()));
        assert_eq!(shown, "Inline([redacted])");
    }
}
