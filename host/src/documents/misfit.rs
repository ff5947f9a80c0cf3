//! Mistakes in documents that came as values: each with a pointer into its document, where a file has lines.

use super::{Definition, Diagnostics, Document, Pipeline, Resource, check, schema};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What it is about, as a JSON pointer; empty for all of the document.
    pub pointer: String,
    /// What is wrong with it, and the next move.
    pub why: String,
}

/// Why a resource cannot go through a pipeline, or is not what the definition of its kind says. What is wrong with that
/// definition is wrong with the kind.
#[must_use]
pub fn misfits(
    resource: &Resource,
    pipeline: Option<&Pipeline>,
    definition: Option<&Definition>,
) -> Vec<Misfit> {
    let unplaced = |_: &str| String::new();
    let mut all: Vec<_> = pipeline
        .into_iter()
        .flat_map(|pipeline| check::misfits(pipeline, resource, unplaced))
        .collect();
    if let Some(definition) = definition {
        let resource = Document::of("resource", resource.clone());
        let definition = Document::of("definition", definition.clone());
        let mut found = Vec::new();
        schema::check_resource(&resource, &definition, &mut found);
        all.extend(resource.misfits(&Diagnostics::new(found), "/resource"));
    }
    all
}

impl<T> Document<T> {
    /// Mistakes by their places in this document; `elsewhere` is what those are about that are in another.
    #[must_use]
    pub fn misfits(&self, found: &Diagnostics, elsewhere: &str) -> Vec<Misfit> {
        let misfit = |diagnostic: &super::Diagnostic| {
            let place = &diagnostic.position;
            let mark = place.mark.filter(|_| place.file == self.file);
            let pointer = mark.and_then(|mark| self.tree.pointer_to(mark));
            Misfit {
                pointer: pointer.unwrap_or_else(|| elsewhere.to_owned()),
                why: diagnostic.message.clone(),
            }
        };
        found.iter().map(misfit).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Documents, read_bytes};
    use super::*;
    use serde_json::{Value, json};

    fn read(document: Value) -> Documents {
        read_bytes("a.json", document.to_string().as_bytes()).unwrap()
    }

    fn definition(schema: Value) -> Definition {
        let mut read = read(json!({"name": "app", "schema": schema}));
        read.definitions.pop().unwrap().value
    }

    #[test]
    fn each_mistake_has_its_pointer_and_none_a_line() {
        let spec = json!({"a/b": [1, "x"], "no": 1});
        let resource = json!({"name": "r", "resource": "app", "pipeline": "q", "spec": spec});
        let resource = read(resource).resources.pop().unwrap().value;
        let pipeline = read(json!({"name": "p", "resource": "site", "steps": []}));
        let numbers = json!({"items": {"type": "integer"}});
        let schema = json!({"properties": {"a/b": numbers}, "additionalProperties": false});
        let pipeline = pipeline.pipelines.first().map(|one| &one.value);
        let found = misfits(&resource, pipeline, Some(&definition(schema)));
        let pointers: Vec<_> = found.iter().map(|one| one.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/pipeline", "/resource", "/spec/a~1b/1", "/spec/no"],
            "{found:#?}"
        );
        let line = |one: &Misfit| one.why.contains(":1:");
        assert!(!found.iter().any(line), "{found:#?}");
        let found = misfits(&resource, None, Some(&definition(json!({"type": 3}))));
        let pointers: Vec<_> = found.iter().map(|one| one.pointer.as_str()).collect();
        assert_eq!(pointers, ["/resource"]);
    }
}
