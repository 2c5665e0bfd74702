//! Jobs from a file: one, many, or one as a template for many.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// Stands for the number of the copy in a template.
const NUMBER: &str = "{n}";

/// One message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Message {
    /// Its `message_id` and `correlation_id`: the job's id, if it has one.
    pub(in crate::cli) id: String,
    /// Its content.
    pub(in crate::cli) body: String,
}

/// The jobs of a file.
#[derive(Debug)]
pub(in crate::cli) struct Template {
    jobs: Vec<Box<RawValue>>,
    count: Option<u64>,
}

/// Why a file holds no jobs.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum InputError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("job {index} in {} is not JSON", path.display())]
    NotJson { path: PathBuf, index: usize, source: serde_json::Error },
    #[error("{} holds no job", .0.display())]
    Empty(PathBuf),
    #[error("--count takes one job as its template, {} holds {jobs}", path.display())]
    NoTemplate { path: PathBuf, jobs: usize },
    #[error("with --count every job needs an id of its own: put {{n}} into jobId, or leave jobId out")]
    SameId,
    #[error("copy {number} of the template is not JSON")]
    BadCopy { number: u64, source: serde_json::Error },
}

/// What is read of a job here; the worker reads the rest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    job_id: Option<String>,
}

impl Template {
    /// Reads a file, or standard input if it is `-`.
    pub(in crate::cli) fn read(path: &Path, count: Option<u64>) -> Result<Self, InputError> {
        let read = if path == Path::new("-") {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = read.map_err(|source| InputError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, count)
    }

    fn parse(text: &str, path: &Path, count: Option<u64>) -> Result<Self, InputError> {
        let mut jobs = Vec::new();
        for value in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
            let not_json = |source, index| InputError::NotJson { path: path.to_owned(), index, source };
            let value = value.map_err(|source| not_json(source, jobs.len() + 1))?;
            if value.get().starts_with('[') {
                let listed: Vec<Box<RawValue>> =
                    serde_json::from_str(value.get()).map_err(|source| not_json(source, jobs.len() + 1))?;
                jobs.extend(listed);
            } else {
                jobs.push(value);
            }
        }
        match (jobs.as_slice(), count) {
            ([], _) => Err(InputError::Empty(path.to_owned())),
            ([template], Some(count)) if count > 1 && has_fixed_id(template) => Err(InputError::SameId),
            ([_] | [_, ..], None) | ([_], Some(_)) => Ok(Self { jobs, count }),
            (jobs, Some(_)) => Err(InputError::NoTemplate { path: path.to_owned(), jobs: jobs.len() }),
        }
    }

    /// How many messages there are.
    pub(in crate::cli) fn len(&self) -> u64 {
        self.count.unwrap_or_else(|| u64::try_from(self.jobs.len()).unwrap_or(u64::MAX))
    }

    /// The messages, made one by one.
    pub(in crate::cli) fn messages(&self) -> impl Iterator<Item = Result<Message, InputError>> {
        let copies = self.count.unwrap_or(1);
        self.jobs.iter().flat_map(move |job| {
            (1..=copies).map(move |number| {
                let body = match self.count {
                    Some(_) => job.get().replace(NUMBER, &number.to_string()),
                    None => job.get().to_owned(),
                };
                serde_json::from_str::<&RawValue>(&body)
                    .map_err(|source| InputError::BadCopy { number, source })?;
                Ok(Message { id: id_of(&body), body })
            })
        })
    }
}

fn has_fixed_id(job: &RawValue) -> bool {
    serde_json::from_str::<Identity>(job.get())
        .is_ok_and(|identity| identity.job_id.is_some_and(|id| !id.contains(NUMBER)))
}

/// The job's own id; a random one if it has none that could stand in an AMQP property.
fn id_of(body: &str) -> String {
    serde_json::from_str::<Identity>(body)
        .ok()
        .and_then(|identity| identity.job_id)
        .filter(|id| !id.is_empty() && id.len() <= 255)
        .unwrap_or_else(|| Uuid::new_v4().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str, count: Option<u64>) -> Result<Vec<Message>, InputError> {
        Template::parse(text, Path::new("jobs.json"), count)?.messages().collect()
    }

    #[test]
    fn one_job_a_list_or_json_lines_are_read_alike() {
        let one = r#"{"jobId": "a"}"#;
        let ids = |text: &str| -> Vec<String> {
            messages(text, None).unwrap().into_iter().map(|message| message.id).collect()
        };
        assert_eq!(ids(one), ["a"]);
        assert_eq!(ids(r#"[{"jobId":"a"},{"jobId":"b"}]"#), ["a", "b"]);
        assert_eq!(ids("{\"jobId\":\"a\"}\n\n{\"jobId\":\"b\"}\n"), ["a", "b"]);
        assert_eq!(messages(one, None).unwrap()[0].body, one, "the body is sent as it stands");
        assert_eq!(ids("{}")[0].len(), 36, "a job without an id gets a random one");
    }

    #[test]
    fn a_template_is_numbered() {
        let made = messages(r#"{"jobId":"load-{n}","connection":{"name":"c {n}"}}"#, Some(2)).unwrap();
        assert_eq!(made[1].id, "load-2");
        assert_eq!(made[1].body, r#"{"jobId":"load-2","connection":{"name":"c 2"}}"#);
        let random = messages("{}", Some(2)).unwrap();
        assert_ne!(random[0].id, random[1].id);
    }

    #[test]
    fn what_holds_no_jobs_is_explained() {
        assert!(matches!(messages(" ", None), Err(InputError::Empty(_))));
        assert!(matches!(messages("{}{", None), Err(InputError::NotJson { index: 2, .. })));
        assert!(matches!(messages("{}{}", Some(3)), Err(InputError::NoTemplate { jobs: 2, .. })));
        assert!(matches!(messages(r#"{"jobId":"a"}"#, Some(2)), Err(InputError::SameId)));
        let absent = Template::read(Path::new("/nowhere.json"), None).unwrap_err();
        assert_eq!(absent.to_string(), "cannot read /nowhere.json");
    }
}
