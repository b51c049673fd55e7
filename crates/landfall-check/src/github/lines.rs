//! Lines and columns as GitHub's messages count them: both from 1, columns in UTF-16 units.

/// Where the lines of a text begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines {
    text: std::sync::Arc<str>,
}

impl Lines {
    /// The lines of a text.
    pub fn of(text: &str) -> Self {
        Self { text: text.into() }
    }

    /// Line and column of a byte offset.
    pub fn at(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = self.text.get(..offset).unwrap_or("");
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").encode_utf16().count() + 1;
        (line, column)
    }
}
