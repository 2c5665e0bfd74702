//! `sources`: what connections can be made to, and a job for each of them to begin with.

mod example;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::terminal::{plain, shorten, width};
use super::{Exit, complain, print};
use crate::sources::{self, Auth, Basis, Source};

/// Options of `sources`.
#[derive(Debug, Clone, clap::Args)]
pub struct SourcesOptions {
    /// Print a job for this source, with `…` for all that it needs; without a name the sources are listed
    #[arg(value_name = "NAME", conflicts_with_all = ["json", "all_examples"])]
    name: Option<String>,
    /// With NAME: the kind of authentication; unless given, the first that the source has
    #[arg(long, value_name = "SPEC_NAME", requires = "name")]
    auth: Option<String>,
    /// List as JSON Lines, with all that is known of each source
    #[arg(long, conflicts_with = "all_examples")]
    json: bool,
    /// Print a job for every kind of authentication of every source, as JSON Lines, to pipe into `submit`
    #[arg(long)]
    all_examples: bool,
}

/// What was asked for and is not there.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("there is no source {given}, did you mean {meant}?")]
    Misspelt { given: String, meant: &'static str },
    #[error("there is no source {given}; `connection-worker sources` lists them")]
    Source { given: String },
    #[error("{source_name} has no authentication {given}, expected one of {known}")]
    Auth { source_name: &'static str, given: String, known: String },
}

/// Lists the sources, or prints jobs for them.
pub fn run(options: &SourcesOptions) -> Exit {
    let Some(name) = &options.name else {
        return match (options.all_examples, options.json) {
            (true, _) => print(all_examples),
            (false, true) => print(list_as_json),
            (false, false) => print(list),
        };
    };
    match choose(name, options.auth.as_deref()) {
        Ok((source, auth)) => print(|out| {
            writeln!(out, "{:#}", example::job(source, auth))?;
            // After the job, which may go into a file.
            writeln!(io::stderr(), "{}", example::notes(source, auth))
        }),
        Err(unknown) => complain(&unknown, Exit::Usage),
    }
}

fn choose(name: &str, auth: Option<&str>) -> Result<(&'static Source, &'static Auth), Unknown> {
    let given = |text: &str| shorten(&plain(text), 64);
    let source = sources::by_name(name).ok_or_else(|| match sources::nearest(name) {
        Some(meant) => Unknown::Misspelt { given: given(name), meant: meant.name },
        None => Unknown::Source { given: given(name) },
    })?;
    let chosen = match auth {
        None => source.auth.first(),
        Some(auth) => source.auth.iter().find(|known| known.spec_name.eq_ignore_ascii_case(auth)),
    };
    let auth = chosen.ok_or_else(|| Unknown::Auth {
        source_name: source.name,
        given: given(auth.unwrap_or_default()),
        known: source.spec_names(),
    })?;
    Ok((source, auth))
}

/// A table on a terminal; elsewhere a line for each source, with tabs.
fn list(out: &mut dyn Write) -> io::Result<()> {
    let columns = io::stdout().is_terminal().then(width);
    if let Some(columns) = columns {
        writeln!(out, "{}", row(["NAME", "SOURCE", "AUTHENTICATION"], columns))?;
    }
    for source in sources::ALL {
        let cells = [source.name, source.title, &source.spec_names()];
        match columns {
            Some(columns) => writeln!(out, "{}", row(cells, columns))?,
            None => writeln!(out, "{}", cells.join("\t"))?,
        }
    }
    Ok(())
}

/// One line of the table, as wide as the terminal.
fn row([name, title, auth]: [&str; 3], columns: usize) -> String {
    shorten(&format!("{name:26}  {title:36}  {auth}"), columns)
}

/// A source on a line of JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: &'static str,
    title: &'static str,
    connection_spec: Spec,
    auth: Vec<Kind>,
}

#[derive(Debug, Serialize)]
struct Spec {
    id: &'static str,
    version: &'static str,
}

/// One kind of authentication.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    spec_name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// Whether `required` is from the published connection spec, or only read off the documentation.
    certain: bool,
}

fn list_as_json(out: &mut dyn Write) -> io::Result<()> {
    for source in sources::ALL {
        let kind = |auth: &Auth| Kind {
            spec_name: auth.spec_name,
            required: auth.required,
            optional: auth.optional,
            certain: auth.basis == Basis::AuthSpec,
        };
        let line = Line {
            name: source.name,
            title: source.title,
            connection_spec: Spec { id: source.spec_id, version: source.spec_version },
            auth: source.auth.iter().map(kind).collect(),
        };
        writeln!(out, "{}", serde_json::to_string(&line).map_err(io::Error::other)?)?;
    }
    Ok(())
}

fn all_examples(out: &mut dyn Write) -> io::Result<()> {
    for source in sources::ALL {
        for auth in source.auth {
            writeln!(out, "{}", example::job(source, auth))?;
        }
    }
    Ok(())
}
