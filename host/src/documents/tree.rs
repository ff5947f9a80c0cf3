//! A document as a tree in which every key and value knows its place in the file.
//!
//! Owns the tree, its building under limits, and look-ups in it. Never reads text: [`super::yaml`] and
//! [`super::json`] do, both through [`Builder`], so that the two formats obey the same rules.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

use super::diagnostics::{Mark, Report};

/// How deep lists and mappings may nest. Well under the 128 levels at which `serde_json` refuses to
/// read back what we store, and under what any stack here bears.
pub const DEPTH_MAX: usize = 64;

/// How many values a document may hold, those that aliases repeat counted each time: an alias bomb of
/// ten lines stands for billions. The largest valid pipelines stay far below.
pub const VALUES_MAX: usize = 250_000;

/// How many bytes of text a document may hold once its aliases are followed: one long text repeated
/// is a bomb of few values. Four times the size that a file may have.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_mark: Mark,
    pub(super) value: Node,
}

impl Content {
    /// The sort of value, in the words of messages.
    pub(super) fn sort(&self) -> String {
        match self {
            Content::Null => "nothing".to_owned(),
            Content::Bool(value) => format!("the boolean {value}"),
            Content::Number(number) => format!("the number {number}"),
            Content::Text(_) => "text".to_owned(),
            Content::List(_) => "a list".to_owned(),
            Content::Object(_) => "a mapping".to_owned(),
        }
    }
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        let Content::Object(entries) = &self.content else {
            return None;
        };
        entries.iter().find(|entry| entry.key == key)
    }

    /// The place of the key under which a JSON pointer's last part stands; of the value where it stands
    /// under none.
    pub(super) fn key_mark_at(&self, pointer: &str) -> Mark {
        let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", ""));
        let key = key.replace("~1", "/").replace("~0", "~");
        let entry = self.find(parent).and_then(|parent| parent.get(&key));
        entry.map_or_else(|| self.mark_at(pointer), |entry| entry.key_mark)
    }

    /// Text and its place.
    pub(super) fn as_text(&self) -> Option<(Mark, &str)> {
        if let Content::Text(text) = &self.content {
            Some((self.mark, text))
        } else {
            None
        }
    }

    pub(super) fn as_number(&self) -> Option<&Number> {
        if let Content::Number(number) = &self.content {
            Some(number)
        } else {
            None
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Content::Object(entries) => Value::Object(to_map(entries)),
        }
    }

    /// The place that a JSON pointer (RFC 6901) names or, where the path ends early, the place of its
    /// last part that exists.
    pub(super) fn mark_at(&self, pointer: &str) -> Mark {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            match node.step(part) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.mark
    }

    /// The JSON pointer to the key or the value that stands at this place.
    pub(super) fn pointer_to(&self, mark: Mark) -> Option<String> {
        if self.mark == mark {
            return Some(String::new());
        }
        let inner = |part: String, key_mark: Option<Mark>, node: &Node| {
            if key_mark == Some(mark) {
                return Some(format!("/{part}"));
            }
            Some(format!("/{part}{}", node.pointer_to(mark)?))
        };
        match &self.content {
            Content::List(items) => {
                let mut items = items.iter().enumerate();
                items.find_map(|(at, item)| inner(at.to_string(), None, item))
            }
            Content::Object(entries) => entries.iter().find_map(|entry| {
                let part = entry.key.replace('~', "~0").replace('/', "~1");
                inner(part, Some(entry.key_mark), &entry.value)
            }),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => None,
        }
    }

    fn find(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, Node::step)
    }

    /// One part of a JSON pointer.
    fn step(&self, part: &str) -> Option<&Node> {
        let part = part.replace("~1", "/").replace("~0", "~");
        match &self.content {
            Content::List(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
            Content::Object(_) => self.get(&part).map(|entry| &entry.value),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => None,
        }
    }
}

pub(super) fn to_map(entries: &[Entry]) -> Map<String, Value> {
    entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.to_json()))
        .collect()
}

/// Reading cannot go on; the reason is in the report.
#[derive(Debug)]
pub(super) struct Stopped;

/// What a finished value weighs against the limits.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    values: usize,
    text_bytes: usize,
    /// Levels of nesting, 0 for a scalar.
    height: usize,
}

impl Weight {
    fn of_scalar(content: &Content) -> Weight {
        let text_bytes = if let Content::Text(text) = content {
            text.len()
        } else {
            0
        };
        Weight {
            values: 1,
            text_bytes,
            height: 0,
        }
    }

    fn add(&mut self, other: Weight) {
        self.values += other.values;
        self.text_bytes += other.text_bytes;
        self.height = self.height.max(other.height + 1);
    }
}

/// A value to which aliases may refer.
#[derive(Debug, Clone)]
struct Anchored {
    node: Rc<Node>,
    weight: Weight,
}

#[derive(Debug)]
struct Frame {
    mark: Mark,
    anchor: Anchor,
    weight: Weight,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    List(Vec<Node>),
    Object {
        entries: Vec<Entry>,
        seen: HashMap<String, Mark>,
        next: Next,
    },
}

/// What a mapping waits for.
#[derive(Debug)]
enum Next {
    Key,
    /// The value of a key; without one the key was refused, and its value is read and dropped.
    Value(Option<(String, Mark)>),
}

/// The number by which the parser knows an anchor, if the value has one.
pub(super) type Anchor = Option<usize>;

/// Builds one document's tree from what a parser meets, within the limits.
///
/// Keys are given by [`Builder::key`], or as values where a format has keys of any sort. What is wrong
/// but leaves the rest readable (a key given twice) is reported and reading goes on.
#[derive(Debug)]
pub(super) struct Builder<'r> {
    report: &'r Report,
    open: Vec<Frame>,
    anchored: HashMap<usize, Anchored>,
    values: usize,
    text_bytes: usize,
    root: Option<Node>,
}

impl<'r> Builder<'r> {
    pub(super) fn new(report: &'r Report) -> Builder<'r> {
        Builder {
            report,
            open: Vec::new(),
            anchored: HashMap::new(),
            values: 0,
            text_bytes: 0,
            root: None,
        }
    }

    /// The finished document and a fresh start.
    pub(super) fn take_root(&mut self) -> Option<Node> {
        let root = self.root.take();
        *self = Builder::new(self.report);
        root
    }

    /// Whether the next value is a key.
    pub(super) fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Frame {
                inside: Inside::Object {
                    next: Next::Key,
                    ..
                },
                ..
            })
        )
    }

    /// The list or mapping that is open innermost, and where it begins.
    pub(super) fn innermost(&self) -> Option<(&'static str, Mark)> {
        self.open.last().map(|frame| match frame.inside {
            Inside::List(_) => ("list", frame.mark),
            Inside::Object { .. } => ("mapping", frame.mark),
        })
    }

    pub(super) fn key(&mut self, mark: Mark, key: String) -> Result<(), Stopped> {
        self.spend(
            mark,
            Weight {
                values: 0,
                text_bytes: key.len(),
                height: 0,
            },
        )?;
        let Some(Frame {
            inside: Inside::Object { seen, next, .. },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        let first = seen.get(&key).copied();
        *next = match first {
            None => {
                seen.insert(key.clone(), mark);
                Next::Value(Some((key, mark)))
            }
            Some(first) => {
                let message = format!("key `{key}` is given twice, first at {first}; keep one");
                self.report.at(mark, message);
                Next::Value(None)
            }
        };
        Ok(())
    }

    /// Refuses a key; its value will be read and dropped.
    pub(super) fn refuse_key(&mut self, mark: Mark, message: String) {
        self.report.at(mark, message);
        if let Some(Frame {
            inside: Inside::Object { next, .. },
            ..
        }) = self.open.last_mut()
        {
            *next = Next::Value(None);
        }
    }

    pub(super) fn scalar(
        &mut self,
        mark: Mark,
        anchor: Anchor,
        content: Content,
    ) -> Result<(), Stopped> {
        let weight = Weight::of_scalar(&content);
        self.spend(mark, weight)?;
        self.place(Node { mark, content }, anchor, weight)
    }

    pub(super) fn open_list(&mut self, mark: Mark, anchor: Anchor) -> Result<(), Stopped> {
        self.open(mark, anchor, Inside::List(Vec::new()))
    }

    pub(super) fn open_object(&mut self, mark: Mark, anchor: Anchor) -> Result<(), Stopped> {
        let (entries, seen) = (Vec::new(), HashMap::new());
        self.open(
            mark,
            anchor,
            Inside::Object {
                entries,
                seen,
                next: Next::Key,
            },
        )
    }

    fn open(&mut self, mark: Mark, anchor: Anchor, inside: Inside) -> Result<(), Stopped> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.too_deep(mark));
        }
        let weight = Weight {
            values: 1,
            ..Weight::default()
        };
        self.spend(mark, weight)?;
        self.open.push(Frame {
            mark,
            anchor,
            weight,
            inside,
        });
        Ok(())
    }

    /// Ends the list or mapping opened last.
    pub(super) fn close(&mut self) -> Result<(), Stopped> {
        let Some(Frame {
            mark,
            anchor,
            weight,
            inside,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let content = match inside {
            Inside::List(items) => Content::List(items),
            Inside::Object { entries, .. } => Content::Object(entries),
        };
        self.place(Node { mark, content }, anchor, weight)
    }

    /// Repeats what an anchor named. The copy stands at the alias, its parts where they were written.
    pub(super) fn alias(&mut self, mark: Mark, anchor: usize) -> Result<(), Stopped> {
        let Some(Anchored { node, weight }) = self.anchored.get(&anchor).cloned() else {
            self.report.at(
                mark,
                "this alias stands inside the value that it names; write it out",
            );
            return Err(Stopped);
        };
        if self.open.len() + weight.height > DEPTH_MAX {
            return Err(self.too_deep(mark));
        }
        if self.awaits_key() {
            return match node.as_text() {
                Some((_, key)) => self.key(mark, key.to_owned()),
                None => {
                    let found = node.content.sort();
                    self.refuse_key(mark, format!("a key must be text, found {found}"));
                    Ok(())
                }
            };
        }
        // Weighed before it is copied: the copy is what a bomb is made of.
        self.spend(mark, weight)?;
        self.place(
            Node {
                mark,
                content: node.content.clone(),
            },
            None,
            weight,
        )
    }

    fn place(&mut self, node: Node, anchor: Anchor, weight: Weight) -> Result<(), Stopped> {
        if let Some(anchor) = anchor {
            self.spend(node.mark, weight)?;
            self.anchored.insert(
                anchor,
                Anchored {
                    node: Rc::new(node.clone()),
                    weight,
                },
            );
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.weight.add(weight);
        match &mut frame.inside {
            Inside::List(items) => items.push(node),
            Inside::Object { entries, next, .. } => match std::mem::replace(next, Next::Key) {
                Next::Value(Some((key, key_mark))) => {
                    entries.push(Entry {
                        key,
                        key_mark,
                        value: node,
                    });
                }
                Next::Value(None) => {}
                Next::Key => {
                    let message = format!("a key must be text, found {}", node.content.sort());
                    self.refuse_key(node.mark, message);
                }
            },
        }
        Ok(())
    }

    fn spend(&mut self, mark: Mark, weight: Weight) -> Result<(), Stopped> {
        self.values += weight.values;
        self.text_bytes += weight.text_bytes;
        let limit = if self.values > VALUES_MAX {
            format!("{VALUES_MAX} values")
        } else if self.text_bytes > TEXT_BYTES_MAX {
            format!("{}MiB of text", TEXT_BYTES_MAX >> 20)
        } else {
            return Ok(());
        };
        let message = format!(
            "the document grows beyond the limit of {limit} here (what an alias repeats counts \
             each time); make it smaller"
        );
        self.report.at(mark, message);
        Err(Stopped)
    }

    fn too_deep(&self, mark: Mark) -> Stopped {
        let message = format!("nested deeper than the limit of {DEPTH_MAX} levels; flatten it");
        self.report.at(mark, message);
        Stopped
    }
}
