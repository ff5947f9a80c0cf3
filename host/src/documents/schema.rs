//! A kind's JSON Schema: whether it is one, and whether a resource's `spec` obeys it.
//!
//! Owns the words for what fails and the place of it in the resource's file. A schema reaches no file and
//! no network: a `$ref` that leads out of it is a mistake.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ReferencingError, ValidationError, Validator};
use serde_json::Value;

use super::diagnostics::{Diagnostic, SHOWN_MAX};
use super::names::{ADVISED_MAX, near};
use super::{Definition, Document, Resource};

/// The longest value that a message shows, in bytes of JSON; a longer one is only called the value.
const VALUE_SHOWN_BYTES_MAX: usize = 60;

/// Reports what makes a definition's schema none.
pub(super) fn check_definition(definition: &Document<Definition>, found: &mut Vec<Diagnostic>) {
    if let Err(error) = compile(&definition.schema) {
        found.push(invalid_schema(definition, &error));
    }
}

/// Reports where a resource's `spec` breaks the schema of its kind; a schema that is none is reported in
/// its own place.
pub(super) fn check_resource(
    resource: &Document<Resource>,
    definition: &Document<Definition>,
    found: &mut Vec<Diagnostic>,
) {
    match compile(&definition.schema) {
        Ok(schema) => explain_all(resource, definition, &schema, found),
        Err(error) => {
            let invalid = invalid_schema(definition, &error);
            if !found.contains(&invalid) {
                found.push(invalid);
            }
        }
    }
}

/// A kind's schema, compiled once for many resources.
#[derive(Debug)]
pub struct SpecCheck(Validator);

impl SpecCheck {
    /// Of a definition; `None` where its schema is none.
    #[must_use]
    pub fn of(definition: &Definition) -> Option<SpecCheck> {
        compile(&definition.schema).ok().map(SpecCheck)
    }

    /// Whether a `spec` obeys it. What is wrong with one that does not, `check_resource` says.
    #[must_use]
    pub fn fits(&self, spec: &Value) -> bool {
        self.0.is_valid(spec)
    }
}

fn compile(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options().build(schema)
}

fn invalid_schema(definition: &Document<Definition>, error: &ValidationError<'_>) -> Diagnostic {
    let pointer = format!("/schema{}", error.instance_path().as_str());
    let message = format!(
        "{} is not valid JSON Schema: {}",
        path("schema", error),
        words(error)
    );
    definition.mistake(&pointer, message)
}

fn explain_all(
    resource: &Document<Resource>,
    definition: &Document<Definition>,
    schema: &Validator,
    found: &mut Vec<Diagnostic>,
) {
    let errors: Vec<_> = schema.iter_errors(&resource.spec).take(SHOWN_MAX).collect();
    let mut meant = Vec::new();
    for error in &errors {
        if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
            explain_unexpected(resource, definition, error, unexpected, &mut meant, found);
        }
    }
    for error in &errors {
        let parent = error.instance_path().as_str();
        if !told_by_unexpected(error, parent, &meant) {
            let message = format!("{}: {}", path("spec", error), words(error));
            found.push(resource.mistake(&format!("/spec{parent}"), message));
        }
    }
}

/// Whether unexpected keys are the whole of an error: themselves, or a required key that one misspells.
fn told_by_unexpected(
    error: &ValidationError<'_>,
    parent: &str,
    meant: &[(String, String)],
) -> bool {
    if let ValidationErrorKind::Required {
        property: Value::String(key),
    } = error.kind()
    {
        return meant
            .iter()
            .any(|(place, near)| place == parent && near == key);
    }
    matches!(
        error.kind(),
        ValidationErrorKind::AdditionalProperties { .. }
    )
}

/// Reports the keys that a schema does not know. `meant` collects what they seem to misspell: the path of
/// the mapping, and the key.
fn explain_unexpected(
    resource: &Document<Resource>,
    definition: &Document<Definition>,
    error: &ValidationError<'_>,
    unexpected: &[String],
    meant: &mut Vec<(String, String)>,
    found: &mut Vec<Diagnostic>,
) {
    let parent = error.instance_path().as_str();
    let known = known_keys(&definition.schema, error.schema_path().as_str());
    for (nth, key) in unexpected.iter().take(SHOWN_MAX).enumerate() {
        let candidates = known
            .iter()
            .map(String::as_str)
            .filter(|_| nth < ADVISED_MAX);
        let near = near(key, candidates);
        meant.extend(near.map(|near| (parent.to_owned(), near.to_owned())));
        let advice = near
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let message = format!("unknown key `{key}` in {}{advice}", path("spec", error));
        let key = key.replace('~', "~0").replace('/', "~1");
        found.push(resource.mistake_at_key(&format!("/spec{parent}/{key}"), message));
    }
}

/// The keys that stand in the schema beside the keyword that refused others.
fn known_keys(schema: &Value, keyword: &str) -> Vec<String> {
    let beside = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema
        .pointer(&format!("{beside}/properties"))
        .and_then(Value::as_object);
    properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

fn words(error: &ValidationError<'_>) -> String {
    if let ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) =
        error.kind()
    {
        return format!("`$ref` leads out of it, to `{uri}`; put what it names under `$defs`");
    }
    let short = serde_json::to_string(error.instance())
        .is_ok_and(|text| text.len() <= VALUE_SHOWN_BYTES_MAX);
    if short {
        error.to_string()
    } else {
        error.masked_with("the value").to_string()
    }
}

/// `` `spec.ports[0].name` ``
fn path(root: &str, error: &ValidationError<'_>) -> String {
    let mut path = root.to_owned();
    for part in error.instance_path().as_str().split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) => path.push_str(&format!(".{part}")),
        }
    }
    format!("`{path}`")
}
