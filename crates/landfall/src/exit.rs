//! Exit codes, the same for every command: 0 fine; 1 it worked and the answer is bad news; 2 wrong
//! usage or unreadable input; 3 an outside party failed.

/// It worked, and the answer is bad news: a refusal, a failed step.
pub const BAD_NEWS: u8 = 1;
/// Wrong usage or unreadable input.
pub const USAGE: u8 = 2;
/// An outside party failed: the network, AWS, a registry.
pub const OUTSIDE: u8 = 3;
