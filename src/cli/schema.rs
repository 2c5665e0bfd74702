//! `schema`: prints what the contract looks like, for tools in any language.

use super::{Exit, print};
use crate::contract::schema;

/// Options of `schema`.
#[derive(Debug, Clone, clap::Args)]
pub struct SchemaOptions {
    /// Which message
    #[arg(value_enum)]
    message: Message,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Message {
    /// What a sender puts on the job queue
    Job,
    /// What comes back
    Reply,
}

/// Prints a JSON Schema (draft 2020-12).
pub fn run(options: &SchemaOptions) -> Exit {
    let schema = match options.message {
        Message::Job => schema::job(),
        Message::Reply => schema::reply(),
    };
    print(|out| writeln!(out, "{:#}", schema.to_value()))
}
