//! HTML in which nothing but what stands in this crate's source is markup.

use std::fmt::{self, Display, Write};

/// A page in the making.
pub(crate) struct Html(String);

/// Escapes whatever is written through it.
struct Escape<'a>(&'a mut String);

impl Html {
    pub(crate) fn new() -> Html {
        Html(String::new())
    }

    /// Markup: it can only be text of this program.
    pub(crate) fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// Text from anywhere, in an element or in a quoted attribute.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Html {
        write!(Escape(&mut self.0), "{text}").expect("a string takes everything");
        self
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}
