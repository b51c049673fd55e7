//! Lists in pages: `Marker`, `MaxItems`, `IsTruncated`.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html>

use landfall_wire::error::AwsError;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::IamCall;
use super::elements::text;
use crate::page;

/// Items of a page when the call doesn't say.
const ITEMS_DEFAULT: usize = 100;
/// Most items of a page.
const ITEMS_MAX: usize = 1_000;

/// Which part of a list is asked for.
pub(super) struct Page(page::Page);

/// The members that every page has.
pub(super) type Ends = [(&'static str, Option<Element>); 2];

impl Page {
    /// What a call asks for.
    pub(super) fn of(call: &IamCall<'_>) -> Result<Self, AwsError> {
        let max_items = match call.params().get("MaxItems") {
            None => ITEMS_DEFAULT,
            Some(text) => items(text)?,
        };
        page::Page::at(call.params().get("Marker"), max_items).map(Self).ok_or_else(invalid)
    }

    /// Cuts a list. No two items have the same key.
    pub(super) fn cut<T>(self, items: &[T], key: impl Fn(&T) -> String) -> (&[T], Ends) {
        let (page, next) = self.0.cut(items, key);
        let ends = [("IsTruncated", Some(Element::Boolean(next.is_some()))), ("Marker", next.and_then(text))];
        (page, ends)
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
    let (page, [truncated, marker]) = Page::of(call)?.cut(&items, key);
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
