//! `schema`: prints what the contract looks like, for tools in any language.

use super::{Exit, complain, print};
use crate::config::{Invalid, QueueOptions};
use crate::contract::asyncapi::{self, Names};
use crate::contract::schema;

/// Options of `schema`.
#[derive(Debug, Clone, clap::Args)]
pub struct SchemaOptions {
    /// What to print
    #[arg(value_enum)]
    what: What,
    #[command(flatten)]
    queues: QueueOptions,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// The JSON Schema of what a sender puts on the job queue
    Job,
    /// The JSON Schema of what comes back
    Reply,
    /// Queues, messages and replies as an AsyncAPI 3.0 document
    Asyncapi,
}

/// Prints a JSON Schema (draft 2020-12), or an AsyncAPI document.
pub fn run(options: SchemaOptions) -> Exit {
    let document = match options.what {
        What::Job => schema::job().to_value(),
        What::Reply => schema::reply().to_value(),
        What::Asyncapi => {
            let mut invalid = Invalid::default();
            let Some(queues) = options.queues.validate(&mut invalid).filter(|_| invalid.0.is_empty()) else {
                return complain(&invalid, Exit::Usage);
            };
            asyncapi::document(Names { jobs: &queues.jobs, replies: &queues.replies })
        }
    };
    print(|out| writeln!(out, "{document:#}"))
}
