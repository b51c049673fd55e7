//! CBOR as Smithy's RPC v2 protocol writes it, from and to JSON values.
//!
//! <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>,
//! <https://www.rfc-editor.org/rfc/rfc8949.html>

use serde_json::{Map, Number, Value};

use crate::error::AwsError;
use crate::json::VALUES_MAX;

/// How deep values may nest, in levels.
const DEPTH_MAX: usize = 64;
/// The tag of a moment in seconds since 1970.
const EPOCH: u64 = 1;

/// Reads one value, of at most [`VALUES_MAX`] values as in JSON. Moments become their seconds; what JSON has no word for
/// (byte strings, keys that are no text) is refused.
///
/// # Errors
/// `SerializationException`: cut short, nested too deep, too many values, or none of these.
pub fn decode(bytes: &[u8]) -> Result<Value, AwsError> {
    let mut reader = Reader { rest: bytes, values_left: VALUES_MAX };
    let value = reader.value(DEPTH_MAX)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(wrong("something follows the value")) }
}

/// Writes a value. Members with one of these names are moments, in seconds.
pub fn encode(value: &Value, moments: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, moments, &mut bytes);
    bytes
}

fn wrong(what: &str) -> AwsError {
    AwsError::bad_request("SerializationException", format!("the body is not CBOR: {what}"))
}

struct Reader<'b> {
    rest: &'b [u8],
    values_left: usize,
}

/// The head of an item: its major type, the five bits beside it, and its argument where it has one.
struct Head {
    major: u8,
    info: u8,
    argument: u64,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], AwsError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| wrong("it is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, AwsError> {
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (first >> 5, first & 0x1f);
        let width = match info {
            0..24 => return Ok(Head { major, info, argument: u64::from(info) }),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            INDEFINITE => return Ok(Head { major, info, argument: 0 }),
            _ => return Err(wrong("a head that is reserved")),
        };
        let argument = self.take(width)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        Ok(Head { major, info, argument })
    }

    fn value(&mut self, depth_left: usize) -> Result<Value, AwsError> {
        let depth_left = depth_left.checked_sub(1).ok_or_else(|| wrong("it is nested too deep"))?;
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or_else(|| wrong(&format!("it has more than {VALUES_MAX} values")))?;
        let head = self.head()?;
        match head.major {
            0 => Ok(Value::from(head.argument)),
            1 => Ok(i64::try_from(head.argument).map_or(Value::Null, |number| Value::from(-1 - number))),
            3 => self.text(&head).map(Value::String),
            4 => self.list(&head, depth_left),
            5 => self.map(&head, depth_left),
            6 => self.value(depth_left),
            7 => simple(&head),
            _ => Err(wrong("byte strings are not expected")),
        }
    }

    fn text(&mut self, head: &Head) -> Result<String, AwsError> {
        let mut text = String::new();
        if head.info != INDEFINITE {
            return self.chunk(head.argument);
        }
        while !self.ends() {
            let head = self.head()?;
            if head.major != 3 || head.info == INDEFINITE {
                return Err(wrong("a part of a text is none"));
            }
            text.push_str(&self.chunk(head.argument)?);
        }
        Ok(text)
    }

    fn chunk(&mut self, length: u64) -> Result<String, AwsError> {
        let length = usize::try_from(length).map_err(|_| wrong("it is cut short"))?;
        std::str::from_utf8(self.take(length)?).map(str::to_owned).map_err(|_| wrong("a text is not UTF-8"))
    }

    fn list(&mut self, head: &Head, depth_left: usize) -> Result<Value, AwsError> {
        let mut items = Vec::new();
        while self.goes_on(head, items.len()) {
            items.push(self.value(depth_left)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, head: &Head, depth_left: usize) -> Result<Value, AwsError> {
        let (mut members, mut count) = (Map::new(), 0);
        while self.goes_on(head, count) {
            let name = self.head()?;
            if name.major != 3 {
                return Err(wrong("a key is no text"));
            }
            let name = self.text(&name)?;
            members.insert(name, self.value(depth_left)?);
            count += 1;
        }
        Ok(Value::Object(members))
    }

    /// Whether one more item of a list or map follows.
    fn goes_on(&mut self, head: &Head, count: usize) -> bool {
        if head.info == INDEFINITE { !self.ends() } else { (count as u64) < head.argument }
    }

    /// Whether the break of an item without a length stands here; it is taken.
    fn ends(&mut self) -> bool {
        match self.rest.split_first() {
            Some((&BREAK, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

/// Booleans, null and numbers with a point.
fn simple(head: &Head) -> Result<Value, AwsError> {
    let number = match head.info {
        20 => return Ok(Value::Bool(false)),
        21 => return Ok(Value::Bool(true)),
        22 | 23 => return Ok(Value::Null),
        25 => half(head.argument),
        26 => f64::from(f32::from_bits(u32::try_from(head.argument).unwrap_or_default())),
        27 => f64::from_bits(head.argument),
        _ => return Err(wrong("a simple value that is not known")),
    };
    Number::from_f64(number).map(Value::Number).ok_or_else(|| wrong("a number that is none"))
}

/// A number of 16 bits, as RFC 8949 reads it (appendix D).
fn half(bits: u64) -> f64 {
    let (exponent, mantissa) = ((bits >> 10) & 0x1f, bits & 0x3ff);
    let (exponent, mantissa) =
        (i32::try_from(exponent).unwrap_or_default(), f64::from(u32::try_from(mantissa).unwrap_or_default()));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

fn write(value: &Value, moments: &[&str], into: &mut Vec<u8>) {
    match value {
        Value::Null => into.push(0xf6),
        Value::Bool(value) => into.push(if *value { 0xf5 } else { 0xf4 }),
        Value::Number(number) => write_number(number, into),
        Value::String(text) => {
            write_head(3, text.len() as u64, into);
            into.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            write_head(4, items.len() as u64, into);
            items.iter().for_each(|item| write(item, moments, into));
        }
        Value::Object(members) => {
            write_head(5, members.len() as u64, into);
            for (name, value) in members {
                write_head(3, name.len() as u64, into);
                into.extend_from_slice(name.as_bytes());
                if moments.contains(&name.as_str()) && value.is_number() {
                    write_head(6, EPOCH, into);
                }
                write(value, moments, into);
            }
        }
    }
}

fn write_number(number: &Number, into: &mut Vec<u8>) {
    match (number.as_u64(), number.as_i64()) {
        (Some(number), _) => write_head(0, number, into),
        (None, Some(number)) => write_head(1, number.unsigned_abs() - 1, into),
        (None, None) => {
            into.push((7 << 5) | 27);
            into.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
        }
    }
}

fn write_head(major: u8, argument: u64, into: &mut Vec<u8>) {
    let first = major << 5;
    let bytes = argument.to_be_bytes();
    let (info, width) = match argument {
        0..24 => (u8::try_from(argument).unwrap_or_default(), 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    into.push(first | info);
    into.extend_from_slice(bytes.get(8 - width..).unwrap_or_default());
}

/// The five bits of an item whose length follows from its end.
const INDEFINITE: u8 = 31;
/// That end.
const BREAK: u8 = 0xff;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_body_has_only_so_many_values() {
        let list = |count: usize| {
            let mut list = vec![0x9f];
            list.resize(count, 0);
            list.push(BREAK);
            list
        };
        assert!(decode(&list(VALUES_MAX)).is_ok());
        assert!(decode(&list(VALUES_MAX + 1)).unwrap_err().message.contains("more than 100000 values"));
        let members = [&[0xbf][..], &[0x61, b'a', 0].repeat(VALUES_MAX), &[BREAK]].concat();
        assert!(decode(&members).is_err());
    }

    /// Rows of RFC 8949's appendix A.
    #[test]
    fn the_examples_of_the_specification_are_read() {
        for (hex, wanted) in [
            ("00", json!(0)),
            ("1818", json!(24)),
            ("1903e8", json!(1000)),
            ("1a000f4240", json!(1_000_000)),
            ("1b000000e8d4a51000", json!(1_000_000_000_000_u64)),
            ("3863", json!(-100)),
            ("f93e00", json!(1.5)),
            ("f90001", json!(5.960_464_477_539_063e-8)),
            ("fa47c35000", json!(100_000.0)),
            ("fb3ff199999999999a", json!(1.1)),
            ("f4", json!(false)),
            ("f6", json!(null)),
            ("c11a514b67b0", json!(1_363_896_240)),
            ("c1fb41d452d9ec200000", json!(1_363_896_240.5)),
            ("62c3bc", json!("\u{fc}")),
            ("83010203", json!([1, 2, 3])),
            ("a26161016162820203", json!({ "a": 1, "b": [2, 3] })),
            ("9f018202039f0405ffff", json!([1, [2, 3], [4, 5]])),
            ("bf61610161629f0203ffff", json!({ "a": 1, "b": [2, 3] })),
            ("7f657374726561646d696e67ff", json!("streaming")),
        ] {
            assert_eq!(decode(&bytes(hex)).unwrap(), wanted, "{hex}");
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        let deep = "81".repeat(100) + "00";
        for hex in [
            "",
            "18",
            "62c3",
            "61ff",
            "a1",
            "a10102",
            "4101",
            "f90001ff",
            "1c",
            "f97c00",
            "ff",
            deep.as_str(),
        ] {
            assert_eq!(decode(&bytes(hex)).unwrap_err().code, "SerializationException", "{hex}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_moments_have_their_tag() {
        let value = json!({ "Name": "a", "At": 1.5, "Whole": 7, "Below": -300, "Long": 70_000, "Is": [true, null, {}] });
        let written = encode(&value, &["At"]);
        assert_eq!(decode(&written).unwrap(), value);
        let tagged = [b"bAt".as_slice(), &[0xc1, 0xfb]].concat();
        assert!(written.windows(tagged.len()).any(|part| part == tagged), "{written:x?}");
    }
}
