//! Condition keys that no coordinate speaks of.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use super::{Coordinate, Presence, Slot};
use crate::set::{Shape, Tape};

/// What is known of all the other keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Others {
    /// They are not in the request.
    Absent,
    /// They may be anything.
    Free,
    /// Keys of the request itself (`aws:…`, `sts:…`) may be what they can be; keys of tokens are not
    /// there: STS makes none but those of its list.
    OfRequest,
}

impl Others {
    /// The coordinate of a key; none when it is absent.
    pub(crate) fn coordinate(self, name: &str) -> Option<Coordinate> {
        match self {
            Self::Absent => None,
            Self::Free => Some(Coordinate::of(Slot::Key(name.to_owned()), None, Presence::ANY)),
            Self::OfRequest => of_request(name),
        }
    }
}

fn of_request(name: &str) -> Option<Coordinate> {
    let lower = name.to_ascii_lowercase();
    let owned = name.to_owned();
    let (prefix, _) = lower.split_once(':')?;
    if prefix != "aws" && prefix != "sts" {
        return None;
    }
    Some(match lower.as_str() {
        "aws:securetransport" => {
            let tape = Tape::single(Shape::Text("true".to_owned()));
            Coordinate::tapes(owned, vec![tape], Presence::SINGLE)
        }
        "sts:rolesessionname" => Coordinate::shaped(owned, Shape::SessionName, Presence::SINGLE),
        "aws:sourceip" | "aws:currenttime" | "aws:epochtime" => {
            Coordinate::of(Slot::Key(owned), None, Presence::SINGLE)
        }
        "aws:tagkeys" | "sts:transitivetagkeys" => Coordinate::of(Slot::Key(owned), None, Presence::ANY),
        _ => Coordinate::of(Slot::Key(owned), None, Presence::OPTIONAL),
    })
}
