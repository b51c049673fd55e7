//! Lists in pages: `Marker`, `MaxItems`, `IsTruncated`.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_wire::error::AwsError;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::IamCall;
use super::elements::text;

/// Items of a page when the call doesn't say.
const ITEMS_DEFAULT: usize = 100;
/// Most items of a page.
const ITEMS_MAX: usize = 1_000;
/// Bytes of an item's hash in a marker.
const HASH_BYTES: usize = 16;

/// Which part of a list is asked for.
pub(super) struct Page {
    after: Option<(Vec<u8>, usize)>,
    max_items: usize,
}

/// The members that every page has.
pub(super) type Ends = [(&'static str, Option<Element>); 2];

impl Page {
    /// What a call asks for.
    pub(super) fn of(call: &IamCall<'_>) -> Result<Self, AwsError> {
        let max_items = match call.params().get("MaxItems") {
            None => ITEMS_DEFAULT,
            Some(text) => items(text)?,
        };
        let after = call.params().get("Marker").map(|marker| read(marker).ok_or_else(invalid)).transpose()?;
        Ok(Self { after, max_items })
    }

    /// Cuts a list. A marker names the last item that was told and its place: the next page begins behind
    /// the item, or, when that is gone by then, at its place.
    pub(super) fn cut<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, Ends) {
        let begin = match &self.after {
            None => 0,
            Some((hash, place)) => {
                let behind = items.iter().position(|item| hash_of(&key(item)) == *hash).map(|at| at + 1);
                behind.unwrap_or(*place).min(items.len())
            }
        };
        let is_cut = items.len() - begin > self.max_items;
        let page: Vec<T> = items.into_iter().skip(begin).take(self.max_items).collect();
        let last = page.last().filter(|_| is_cut);
        let marker = last.map(|item| written(&hash_of(&key(item)), begin + page.len() - 1));
        (page, [("IsTruncated", Some(Element::Boolean(is_cut))), ("Marker", marker.and_then(text))])
    }
}

/// A whole answer: one list, and its ends.
pub(super) fn list<T>(
    call: &IamCall<'_>,
    name: &'static str,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    element: impl Fn(&T) -> Element,
) -> Answer {
    let (page, [truncated, marker]) = Page::of(call)?.cut(items, key);
    let members = Element::List(page.iter().map(element).collect());
    Ok(Some(Element::structure([truncated, (name, Some(members)), marker])))
}

fn items(text: &str) -> Result<usize, AwsError> {
    let number: i64 = text.parse().map_err(|_| {
        AwsError::new("MalformedInput", 400, format!("`MaxItems` must be a whole number, and is `{text}`"))
    })?;
    let constraint = match usize::try_from(number) {
        Ok(count) if (1..=ITEMS_MAX).contains(&count) => return Ok(count),
        Ok(0) | Err(_) => "greater than or equal to 1",
        Ok(_) => "less than or equal to 1000",
    };
    Err(AwsError::validation(format!(
        "1 validation error detected: Value '{number}' at 'maxItems' failed to satisfy constraint: Member must have value {constraint}"
    )))
}

fn invalid() -> AwsError {
    AwsError::validation("Invalid Marker.")
}

fn hash_of(key: &str) -> Vec<u8> {
    landfall_wire::hash::sha256(key.as_bytes()).into_iter().take(HASH_BYTES).collect()
}

fn written(hash: &[u8], place: usize) -> String {
    let mut bytes = hash.to_vec();
    bytes.extend(u32::try_from(place).unwrap_or(u32::MAX).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(marker: &str) -> Option<(Vec<u8>, usize)> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok()?;
    let (hash, place) = bytes.split_at_checked(HASH_BYTES)?;
    let place = u32::from_be_bytes(place.try_into().ok()?);
    Some((hash.to_vec(), usize::try_from(place).ok()?))
}
