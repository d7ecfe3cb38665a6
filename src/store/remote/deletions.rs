//! Deletions of several objects: one request for as many as the service takes, and an answer about
//! each of them.
//!
//! S3 deletes a thousand objects with a request, Azure 256; Google Cloud deletes one by one, ten
//! side by side, and so does a service like S3 that knows no such request. An answer that is good
//! as a whole may refuse single objects. What is refused for now, or has no answer of its own, is
//! asked for once more by itself.
//!
//! Who deletes by what was listed must look again before going on for long. So all of it, pauses
//! and further requests included, is over within [`DELETE_MANY_TIME_MAX`] and the time of an
//! answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::store::DELETE_MANY_TIME_MAX;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::name::ObjectName;
use crate::store::remote::RemoteStore;
use crate::store::remote::Request;
use crate::store::remote::answer::Consequence;
use crate::store::remote::answer::ErrorResponse;
use crate::store::remote::retry::RetryPolicy;

/// The answer about one object of several.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It is not there any more.
    Gone,
    /// It was refused, with these words.
    Refused(ErrorResponse),
    /// It failed, in words that say nothing about it alone.
    Unclear,
}

impl Answer {
    /// Returns the result for an object; nothing if it is to be asked for by itself.
    fn settled(self, name: &ObjectName) -> Option<Result<(), StoreError>> {
        match self {
            Self::Gone => Some(Ok(())),
            Self::Unclear => None,
            Self::Refused(response) => match response.consequence() {
                Consequence::Final(Category::NotFound, _) => Some(Ok(())),
                Consequence::Final(category, diagnosis) => {
                    let error = StoreError::new(Verb::Delete, name, category).because(response);
                    Some(Err(diagnosis.into_iter().fold(error, StoreError::with_diagnosis)))
                }
                Consequence::Busy | Consequence::Broken | Consequence::Odd => None,
            },
        }
    }
}

impl RemoteStore {
    /// Deletes an object, for as long as a policy allows.
    pub(super) fn delete_by(
        &self,
        policy: &RetryPolicy,
        name: &ObjectName,
    ) -> Result<(), StoreError> {
        let path = self.path(Verb::Delete, name)?;
        let delete = || self.client.delete(&path);
        match self.ask_by(policy, Request::new(Verb::Delete, name, 0), delete) {
            Err(error) if error.category() != Category::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes objects with one request, if the service takes as many.
    pub(super) fn delete_batch(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        let clock = &self.world.clock;
        let began = clock.elapsed();
        let time = self.retry_policy.retry_for.min(DELETE_MANY_TIME_MAX);
        let within = |retry_for: Duration| RetryPolicy { retry_for, ..self.retry_policy };
        let policy = within(time);
        let mut asked = self.ask_for_batch(&policy, names);
        if let (Err(error), Some(first)) = (&asked, names.first())
            && self.has_batches()
            && self.deletes_one_by_one(error, &policy, first)
        {
            self.no_batches.store(true, Ordering::Release);
            asked = self.ask_for_batch(&policy, names);
        }
        let answers = match asked {
            Ok(answers) => answers,
            Err(error) => return names.iter().map(|name| Err(of_all(&error, name))).collect(),
        };
        let mut is_over = false;
        let mut results = Vec::with_capacity(names.len());
        for (name, answer) in names.iter().zip(answers) {
            let result = match answer.settled(name) {
                Some(result) => result,
                None if is_over => Err(StoreError::new(Verb::Delete, name, Category::Transient)),
                None => {
                    let spent = clock.elapsed().saturating_sub(began);
                    self.delete_by(&within(time.saturating_sub(spent)), name)
                }
            };
            is_over |= result.as_ref().is_err_and(|error| error.category() == Category::Transient);
            results.push(result);
        }
        results
    }

    /// Tells whether the service is one that deletes many objects with one request, as far as is
    /// known.
    fn has_batches(&self) -> bool {
        self.batches.is_some() && !self.no_batches.load(Ordering::Acquire)
    }

    /// Tells whether a service that failed to delete many objects may delete each of them.
    fn deletes_one_by_one(
        &self,
        error: &StoreError,
        policy: &RetryPolicy,
        first: &ObjectName,
    ) -> bool {
        match error.category() {
            // It knows no such request.
            Category::Other | Category::Unsupported | Category::NotFound => true,
            // Ceph 16.2 asks a policy whether the whole bucket may be deleted from.
            Category::Denied => self.delete_by(policy, first).is_ok(),
            Category::Full
            | Category::Conflict
            | Category::Damaged
            | Category::Transient
            | Category::Stopped => false,
        }
    }

    /// Returns the answer about each of these objects, in their order.
    fn ask_for_batch(
        &self,
        policy: &RetryPolicy,
        names: &[ObjectName],
    ) -> Result<Vec<Answer>, StoreError> {
        let Some(first) = names.first() else { return Ok(Vec::new()) };
        let paths = names.iter().map(|name| self.path(Verb::Delete, name));
        let paths: Vec<Path> = paths.collect::<Result<_, _>>()?;
        let batches = self.batches.as_ref().filter(|_| self.has_batches());
        let client = batches.unwrap_or(&self.client);
        self.ask_by(policy, Request::new(Verb::Delete, first, 0), || {
            let paths = paths.clone();
            let count = paths.len();
            let answers = client.delete_stream(stream::iter(paths).map(Ok).boxed());
            async move { answers_about(count, answers.collect().await) }
        })
    }
}

/// Returns the answer about each object, or the error of the request as a whole.
fn answers_about(
    count: usize,
    results: Vec<object_store::Result<Path>>,
) -> object_store::Result<Vec<Answer>> {
    let is_about_each = results.len() == count;
    let mut answers = Vec::with_capacity(results.len());
    for result in results {
        answers.push(match result {
            Ok(_) => Answer::Gone,
            Err(object_store::Error::NotFound { .. }) if is_about_each && count > 1 => Answer::Gone,
            Err(object_store::Error::PermissionDenied { .. }) if is_about_each && count > 1 => {
                Answer::Refused(ErrorResponse::about_key("AccessDenied", ""))
            }
            Err(error) => match ErrorResponse::about_one(&error.to_string()) {
                Some(response) => Answer::Refused(response),
                // One error for all is that of the request.
                None if !is_about_each || count == 1 => return Err(error),
                None => Answer::Unclear,
            },
        });
    }
    Ok(answers)
}

/// Returns the error of a request that was about several objects, for one of them.
fn of_all(error: &StoreError, name: &ObjectName) -> StoreError {
    let own = StoreError::new(Verb::Delete, name, error.category());
    let own = error.diagnosis().into_iter().fold(own, StoreError::with_diagnosis);
    match std::error::Error::source(error) {
        Some(cause) => own.because(cause.to_string()),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> object_store::Error {
        let text = format!("DeleteObjects request failed for key a/b: not now: no (code: {code})");
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    fn broken() -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: "connection reset".into() }
    }

    fn path() -> Path {
        Path::from("a/b")
    }

    #[test]
    fn an_answer_about_one_object_is_understood() {
        let told = |error: object_store::Error| ErrorResponse::about_one(&error.to_string());
        let denied = told(refused("AccessDenied")).unwrap();
        let consequence = denied.consequence();
        assert!(matches!(consequence, Consequence::Final(Category::Denied, _)), "{denied}");
        assert!(denied.to_string().ends_with("AccessDenied: not now: no"), "{denied}");
        for code in ["SlowDown", "InternalError"] {
            let consequence = told(refused(code)).unwrap().consequence();
            assert_eq!(consequence, Consequence::Busy, "{code}");
        }
        assert_eq!(told(broken()), None);
    }

    #[test]
    fn an_error_of_the_request_is_none_about_an_object() {
        assert!(answers_about(3, vec![Err(broken())]).is_err());
        assert!(answers_about(1, vec![Err(broken())]).is_err());
        let answers =
            answers_about(3, vec![Ok(path()), Err(broken()), Err(refused("AccessDenied"))]);
        let answers = answers.unwrap();
        assert_eq!(answers[..2], [Answer::Gone, Answer::Unclear]);
        assert!(matches!(answers[2], Answer::Refused(_)), "{answers:?}");
        assert_eq!(
            answers_about(2, vec![Ok(path()), Ok(path())]).unwrap(),
            [Answer::Gone, Answer::Gone]
        );
    }
}
