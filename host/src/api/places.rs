//! Where the documents of an order stand in what was sent, so that what is wrong with one is a pointer into that.

use crate::owner::{Named, RunOrder};

/// Of each document of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) resource: Place,
    pub(super) pipeline: Place,
    /// Of the archive's digest, where the order names one.
    pub(super) workspace: Option<&'static str>,
}

/// Of one document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// It stands there itself.
    Itself(&'static str),
    /// It is stored, and named there: that is all there is to point to.
    Name(&'static str),
}

impl Place {
    /// A pointer into the document as one into what was sent.
    pub(super) fn of(self, pointer: &str) -> String {
        match self {
            Place::Itself(place) => format!("{place}{pointer}"),
            Place::Name(place) => place.to_owned(),
        }
    }
}

impl Places {
    /// Of a body that is the document itself.
    pub(super) const WHOLE: Places = Places {
        resource: Place::Itself(""),
        pipeline: Place::Itself(""),
        workspace: None,
    };

    /// Of a resource as the body.
    pub(super) const RESOURCE: Places = Places {
        resource: Place::Itself(""),
        pipeline: Place::Name("/pipeline"),
        workspace: None,
    };

    /// Of an order in the form of `POST /runs`.
    pub(super) fn of(order: &RunOrder) -> Places {
        let (resource, named_pipeline) = match &order.resource {
            Named::Name(_) => (Place::Name("/resource"), "/resource"),
            Named::Inline(document) => {
                let is_named = document.pipeline.is_some();
                let pipeline = if is_named {
                    "/resource/pipeline"
                } else {
                    "/resource"
                };
                (Place::Itself("/resource"), pipeline)
            }
        };
        let pipeline = match &order.pipeline {
            Some(Named::Inline(_)) => Place::Itself("/pipeline"),
            Some(Named::Name(_)) => Place::Name("/pipeline"),
            None => Place::Name(named_pipeline),
        };
        Places {
            resource,
            pipeline,
            workspace: order.workspace.as_ref().map(|_| "/workspace"),
        }
    }
}
