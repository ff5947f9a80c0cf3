//! A JSON array of what is read page by page, sent as it is read: no more than a page of it is ever in memory.

use super::super::Problem;
use crate::logs::LogError;
use crate::owner::{OwnerError, blocking};
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use std::io;
use tokio::sync::Semaphore;

/// Pages that are read at once, for all who ask: each takes memory as lines and as text, and a thread.
static READERS: Semaphore = Semaphore::const_new(4);

/// The items of a page, each as JSON text.
pub(super) type Items = Result<Vec<String>, LogError>;

/// Of all pages. The first is read before it answers: what cannot be read at all is a problem, what cannot be read later
/// breaks the answer off.
pub(super) async fn array(
    pages: impl Iterator<Item = Items> + Send + 'static,
) -> Result<Response, Problem> {
    let (first, pages) = read(pages).await?;
    let first = first.transpose().map_err(OwnerError::from)?;
    let pages = first.map(Ok).into_iter().chain(pages);
    let array = Array {
        pages: Some(pages),
        text: "[".to_owned(),
        has_items: false,
    };
    let body = Body::from_stream(stream::unfold(array, Array::next));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The next page, and the pages after it.
async fn read<I: Iterator<Item = Items> + Send + 'static>(
    mut pages: I,
) -> Result<(Option<Items>, I), OwnerError> {
    // It is never closed.
    let _turn = READERS.acquire().await;
    blocking(move || (pages.next(), pages)).await
}

struct Array<I> {
    /// What is still to be read; none once the array has ended.
    pages: Option<I>,
    /// What is read and not yet sent.
    text: String,
    has_items: bool,
}

impl<I: Iterator<Item = Items> + Send + 'static> Array<I> {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let (page, pages) = match read(self.pages.take()?).await {
            Ok(read) => read,
            Err(error) => return Some((Err(io::Error::other(error)), self)),
        };
        match page {
            Some(Err(error)) => return Some((Err(io::Error::other(error)), self)),
            Some(Ok(items)) => {
                for item in items {
                    if std::mem::replace(&mut self.has_items, true) {
                        self.text.push(',');
                    }
                    self.text.push_str(&item);
                }
                self.pages = Some(pages);
            }
            None => self.text.push(']'),
        }
        let text = std::mem::take(&mut self.text);
        Some((Ok(text.into()), self))
    }
}
