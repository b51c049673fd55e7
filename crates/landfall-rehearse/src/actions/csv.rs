//! Lists in the inputs of Docker's actions: CSV, in which a quoted field may have commas, newlines and, doubled,
//! quotes. As `Util.getInputList` of `@docker/actions-toolkit` reads them.

/// What a comma does in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Commas {
    /// It ends an entry, as a newline does.
    Split,
    /// It belongs to the entry.
    Keep,
}

/// The entries of a list. What follows `comment` on a line is left out.
pub fn list(text: &str, commas: Commas, comment: Option<char>) -> Vec<String> {
    let entries = records(text, comment).into_iter().flat_map(|record| match commas {
        Commas::Split => record.iter().flat_map(|field| field.split(',')).map(str::to_owned).collect(),
        Commas::Keep => vec![record.join(",")],
    });
    entries.map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect()
}

/// The lines of a CSV text with their fields; empty lines are none.
pub fn records(text: &str, comment: Option<char>) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut skips) = (false, false);
    let mut chars = text.chars().peekable();
    let mut end = |record: &mut Vec<String>, field: &mut String| {
        record.push(std::mem::take(field));
        let record = std::mem::take(record);
        if record.iter().any(|field| !field.is_empty()) {
            records.push(record);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if quoted => quoted = false,
            _ if quoted => field.push(c),
            '\n' => {
                skips = false;
                end(&mut record, &mut field);
            }
            _ if skips || c == '\r' => {}
            '"' if field.is_empty() => quoted = true,
            ',' => record.push(std::mem::take(&mut field)),
            _ if Some(c) == comment => skips = true,
            _ => field.push(c),
        }
    }
    end(&mut record, &mut field);
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_an_entry_for_each_line_and_for_each_comma_unless_they_are_kept() {
        let cases: &[(&str, Commas, &[&str])] = &[
            ("a,b\n  c \n\n", Commas::Split, &["a", "b", "c"]),
            ("type=raw,value=x\nA=1", Commas::Keep, &["type=raw,value=x", "A=1"]),
            ("\"a,b\",c", Commas::Split, &["a", "b", "c"]),
            ("\"K=first\nsecond \"\"quoted\"\"\"\nL=2", Commas::Keep, &["K=first\nsecond \"quoted\"", "L=2"]),
            ("a # said\n# all of it\nb", Commas::Keep, &["a", "b"]),
            ("A=say \"hi\"", Commas::Keep, &["A=say \"hi\""]),
            ("", Commas::Split, &[]),
        ];
        for (text, commas, wanted) in cases {
            assert_eq!(list(text, *commas, Some('#')), *wanted, "{text:?}");
        }
    }
}
