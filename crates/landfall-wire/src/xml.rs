//! The answers of AWS's Query protocol: XML indented by two spaces with a newline at the end and no
//! declaration (observed on STS and IAM), or JSON for a client that asks for it.

use landfall_types::Timestamp;
use serde_json::{Map, Value, json};

use crate::error::Reply;

/// A value of an answer, before it is known whether it becomes XML or JSON.
#[derive(Clone, PartialEq, Debug)]
pub enum Element {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// ISO 8601 in XML, epoch seconds in JSON.
    Time(Timestamp),
    /// Named members in order.
    Structure(Vec<(&'static str, Element)>),
    /// Items, each a `member` in XML.
    List(Vec<Element>),
    /// Keys and values, each an `entry` in XML.
    Map(Vec<(String, Element)>),
}

impl Element {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A structure without the members that have no value.
    pub fn structure(members: impl IntoIterator<Item = (&'static str, Option<Element>)>) -> Self {
        let present = members.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        Self::Structure(present.collect())
    }
}

impl From<&str> for Element {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Element {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A successful answer: `<OpResponse><OpResult>…</OpResult><ResponseMetadata>…`. Operations without a
/// result have no `OpResult`.
pub fn reply(
    operation: &str,
    namespace: &str,
    result: Option<&Element>,
    request_id: &str,
    accept_json: bool,
) -> Reply {
    let body = if accept_json {
        json_body(operation, result, request_id)
    } else {
        xml_body(operation, namespace, result, request_id)
    };
    Reply {
        status: 200,
        headers: vec![
            ("x-amzn-requestid", request_id.to_owned()),
            ("content-type", content_type(accept_json).to_owned()),
        ],
        body,
    }
}

/// The content type of a Query service's answer.
pub fn content_type(json: bool) -> &'static str {
    if json { "application/json" } else { "text/xml" }
}

fn xml_body(operation: &str, namespace: &str, result: Option<&Element>, request_id: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    let response = format!("{operation}Response");
    writer.open(&response, Some(namespace));
    if let Some(result) = result {
        writer.element(&format!("{operation}Result"), result);
    }
    writer.open("ResponseMetadata", None);
    writer.text("RequestId", request_id);
    writer.close("ResponseMetadata");
    writer.close(&response);
    writer.finish()
}

fn json_body(operation: &str, result: Option<&Element>, request_id: &str) -> Vec<u8> {
    let mut response = Map::new();
    if let Some(result) = result {
        response.insert(format!("{operation}Result"), to_json(result, DEPTH_MAX));
    }
    response.insert("ResponseMetadata".to_owned(), json!({ "RequestId": request_id }));
    let mut body = Map::new();
    body.insert(format!("{operation}Response"), Value::Object(response));
    Value::Object(body).to_string().into_bytes()
}

fn to_json(element: &Element, depth_left: usize) -> Value {
    let Some(depth_left) = depth_left.checked_sub(1) else { return Value::Null };
    match element {
        Element::Text(text) => Value::from(text.as_str()),
        Element::Integer(number) => Value::from(*number),
        Element::Boolean(value) => Value::from(*value),
        Element::Time(time) => Value::from(time.seconds()),
        Element::Structure(members) => Value::Object(
            members.iter().map(|(name, value)| ((*name).to_owned(), to_json(value, depth_left))).collect(),
        ),
        Element::List(items) => items.iter().map(|item| to_json(item, depth_left)).collect(),
        Element::Map(entries) => Value::Object(
            entries.iter().map(|(name, value)| (name.clone(), to_json(value, depth_left))).collect(),
        ),
    }
}

/// Writes indented XML, escaping what must be escaped.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    /// An empty document.
    pub fn new() -> Self {
        Self { out: String::with_capacity(ANSWER_BYTES_TYPICAL), depth: 0 }
    }

    /// Opens an element that holds others.
    pub fn open(&mut self, name: &str, namespace: Option<&str>) {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        if let Some(namespace) = namespace {
            self.out.push_str(" xmlns=\"");
            push_escaped(&mut self.out, namespace);
            self.out.push('"');
        }
        self.out.push_str(">\n");
        self.depth += 1;
    }

    /// Closes it again.
    pub fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// An element that holds text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
        push_escaped(&mut self.out, text);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// A value of any shape. Nesting beyond 32 levels is left out: no answer of AWS goes there.
    pub fn element(&mut self, name: &str, element: &Element) {
        if self.depth >= DEPTH_MAX {
            return;
        }
        match element {
            Element::Text(text) => self.text(name, text),
            Element::Integer(number) => self.text(name, &number.to_string()),
            Element::Boolean(value) => self.text(name, if *value { "true" } else { "false" }),
            Element::Time(time) => self.text(name, &time.to_string()),
            Element::Structure(members) if members.is_empty() => self.empty(name),
            Element::List(items) if items.is_empty() => self.empty(name),
            Element::Map(entries) if entries.is_empty() => self.empty(name),
            Element::Structure(members) => {
                self.open(name, None);
                for (member, value) in members {
                    self.element(member, value);
                }
                self.close(name);
            }
            Element::List(items) => {
                self.open(name, None);
                for item in items {
                    self.element("member", item);
                }
                self.close(name);
            }
            Element::Map(entries) => {
                self.open(name, None);
                for (key, value) in entries {
                    self.open("entry", None);
                    self.text("key", key);
                    self.element("value", value);
                    self.close("entry");
                }
                self.close(name);
            }
        }
    }

    /// The document's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    fn empty(&mut self, name: &str) {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str("/>\n");
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }
}

/// Characters that XML 1.0 can't hold at all become U+FFFD. <https://www.w3.org/TR/xml/#charsets>
fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = first_that_may_matter(rest.as_bytes()) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = from.chars();
        match chars.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('"') => out.push_str("&quot;"),
            Some('\r') => out.push_str("&#xD;"),
            Some(blank @ ('\t' | '\n')) => out.push(blank),
            Some('\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}') => out.push(char::REPLACEMENT_CHARACTER),
            other => out.extend(other),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// Where the first byte is that begins a character to look at. Of those outside ASCII, U+FFFE and U+FFFF begin
/// with 0xEF. Most answers are one long token without any, so whole blocks are passed over.
fn first_that_may_matter(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 64;
    let matters = |byte: u8| matches!(byte, b'&' | b'<' | b'>' | b'"' | ..=0x1f | 0xef);
    let in_block = |block: &[u8]| block.iter().fold(false, |found, byte| found | matters(*byte));
    let start = BLOCK * bytes.chunks(BLOCK).position(in_block)?;
    let at = bytes.iter().skip(start).position(|byte| matters(*byte))?;
    Some(start + at)
}

const DEPTH_MAX: usize = 32;
const ANSWER_BYTES_TYPICAL: usize = 2048;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

    fn identity() -> Element {
        Element::Structure(vec![
            ("Arn", "arn:aws:iam::123456789012:root".into()),
            ("UserId", "123456789012".into()),
            ("Account", "123456789012".into()),
        ])
    }

    fn body(reply: &Reply) -> &str {
        std::str::from_utf8(&reply.body).unwrap()
    }

    #[test]
    fn a_result_stands_between_the_response_and_its_metadata() {
        let reply = reply("GetCallerIdentity", NAMESPACE, Some(&identity()), "id-1", false);
        assert_eq!(
            body(&reply),
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
             <GetCallerIdentityResult>\n    <Arn>arn:aws:iam::123456789012:root</Arn>\n    \
             <UserId>123456789012</UserId>\n    <Account>123456789012</Account>\n  \
             </GetCallerIdentityResult>\n  <ResponseMetadata>\n    <RequestId>id-1</RequestId>\n  \
             </ResponseMetadata>\n</GetCallerIdentityResponse>\n"
        );
        assert_eq!(reply.headers[1], ("content-type", "text/xml".to_owned()));
    }

    #[test]
    fn json_says_the_same() {
        let result = Element::Structure(vec![
            ("Size", Element::Integer(25)),
            ("Expiration", Element::Time(Timestamp::from_seconds(1_789_123_688))),
            ("On", Element::Boolean(true)),
            ("List", Element::List(vec!["a".into()])),
            ("Map", Element::Map(vec![("k".to_owned(), "v".into())])),
        ]);
        assert_eq!(
            body(&reply("Op", NAMESPACE, Some(&result), "id-1", true)),
            r#"{"OpResponse":{"OpResult":{"Size":25,"Expiration":1789123688,"On":true,"List":["a"],"Map":{"k":"v"}},"ResponseMetadata":{"RequestId":"id-1"}}}"#
        );
    }

    #[test]
    fn an_operation_without_a_result_has_no_result_element() {
        assert_eq!(
            body(&reply("DeleteRole", NAMESPACE, None, "i", false)),
            "<DeleteRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <ResponseMetadata>\n    \
             <RequestId>i</RequestId>\n  </ResponseMetadata>\n</DeleteRoleResponse>\n"
        );
        assert_eq!(
            body(&reply("DeleteRole", NAMESPACE, None, "i", true)),
            r#"{"DeleteRoleResponse":{"ResponseMetadata":{"RequestId":"i"}}}"#
        );
    }

    #[test]
    fn lists_maps_times_and_hostile_text_are_written_safely() {
        let mut writer = Writer::new();
        writer.element(
            "R",
            &Element::structure([
                (
                    "Tags",
                    Some(Element::List(vec![Element::Structure(vec![("Key", "a<b>&\"'\u{1}".into())])])),
                ),
                ("None", None),
                ("Empty", Some(Element::List(Vec::new()))),
                ("Map", Some(Element::Map(vec![("k".to_owned(), "v".into())]))),
                ("At", Some(Element::Time(Timestamp::from_seconds(1_789_127_307)))),
                ("Blank", Some("".into())),
            ]),
        );
        assert_eq!(
            String::from_utf8(writer.finish()).unwrap(),
            "<R>\n  <Tags>\n    <member>\n      <Key>a&lt;b&gt;&amp;&quot;'\u{fffd}</Key>\n    </member>\n  \
             </Tags>\n  <Empty/>\n  <Map>\n    <entry>\n      <key>k</key>\n      <value>v</value>\n    \
             </entry>\n  </Map>\n  <At>2026-09-11T11:48:27Z</At>\n  <Blank></Blank>\n</R>\n"
        );
    }

    #[test]
    fn a_value_nested_too_deeply_is_cut_and_not_followed() {
        let deep = (0..1000).fold(Element::Integer(1), |inner, _| Element::List(vec![inner]));
        let mut writer = Writer::new();
        writer.element("R", &deep);
        assert!(writer.finish().len() < 4096);
        assert!(json_body("Op", Some(&deep), "i").len() < 4096);
    }
}
