//! The identifiers that AWS hands out, made from random bytes that the caller supplies.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>

use landfall_types::AccountId;

/// The prefix of a temporary access key's id.
pub const TEMPORARY_KEY_PREFIX: &str = "ASIA";
/// The prefix of a long-term access key's id.
pub const LONG_TERM_KEY_PREFIX: &str = "AKIA";
/// The prefix of a role's unique id.
pub const ROLE_PREFIX: &str = "AROA";
/// The prefix of a user's unique id.
pub const USER_PREFIX: &str = "AIDA";
/// The prefix of a managed policy's unique id.
pub const POLICY_PREFIX: &str = "ANPA";

const KEY_ID_CHARS: usize = 16;
const ACCOUNT_BITS: u32 = 40;
const UNIQUE_ID_CHARS: usize = 17;

/// A version 4 UUID, the form of AWS's request ids. <https://www.rfc-editor.org/rfc/rfc9562#section-5.4>
pub fn request_id(random: [u8; 16]) -> String {
    let mut bytes = random;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        landfall_types::image::push_hex(&mut text, &[*byte]);
    }
    text
}

/// `AKIA` and 16 of `A-Z2-7`: the id of a long-term access key.
pub fn long_term_key_id(random: [u8; 16]) -> String {
    identifier(LONG_TERM_KEY_PREFIX, &random, KEY_ID_CHARS)
}

/// The id of an access key that tells its account, as AWS's do: of the ten bytes behind the sixteen
/// characters the first 48 bits are a one, the account's number in 40 bits, and seven bits of chance, like
/// the four bytes after them (observed on AWS's keys).
pub fn key_id_of_account(prefix: &str, account: AccountId, random: [u8; 5]) -> String {
    let number = account.as_str().bytes().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let [chance, rest @ ..] = random;
    let head = (1 << 47) | (number << 7) | u64::from(chance & 0x7f);
    let mut bits = u128::from(head) << 32 | u128::from(u32::from_be_bytes(rest));
    bits <<= 128 - KEY_ID_CHARS * 5;
    let mut text = String::with_capacity(prefix.len() + KEY_ID_CHARS);
    text.push_str(prefix);
    for _ in 0..KEY_ID_CHARS {
        bits = bits.rotate_left(5);
        text.push(base32_char(bits.to_le_bytes()[0]));
    }
    text
}

/// The account that an access key id tells; none for one that was not made so.
pub fn account_of_key_id(access_key_id: &str) -> Option<AccountId> {
    let characters = access_key_id.get(4..).filter(|rest| rest.len() == KEY_ID_CHARS)?;
    let head = characters.bytes().take(10).try_fold(0_u64, |bits, byte| {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        Some(bits << 5 | u64::from(value))
    })?;
    // Ten characters hold 50 bits; the head has 48.
    let head = head >> 2;
    let is_told = head >> 47 == 1;
    let number = (head >> 7) & ((1 << ACCOUNT_BITS) - 1);
    AccountId::parse(&format!("{number:012}")).ok().filter(|_| is_told)
}

/// `AROA` and 17 of `A-Z2-7`: a role's unique id.
pub fn role_id(random: [u8; 17]) -> String {
    unique_id(ROLE_PREFIX, random)
}

/// A four-letter prefix (`AROA`, `AIDA`, `ANPA`, …) and 17 of `A-Z2-7`.
pub fn unique_id(prefix: &str, random: [u8; 17]) -> String {
    identifier(prefix, &random, UNIQUE_ID_CHARS)
}

fn identifier(prefix: &str, random: &[u8], chars: usize) -> String {
    let mut text = String::with_capacity(prefix.len() + chars);
    text.push_str(prefix);
    text.extend(random.iter().take(chars).map(|byte| base32_char(*byte)));
    text
}

/// The low five bits as a character of RFC 4648's base32.
fn base32_char(byte: u8) -> char {
    let value = byte & 31;
    char::from(if value < 26 { b'A' + value } else { b'2' + (value - 26) })
}

/// Whether an access key id belongs to a session, so that a session token must come with it.
pub fn is_temporary(access_key_id: &str) -> bool {
    access_key_id.starts_with(TEMPORARY_KEY_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_version_4_uuid() {
        assert_eq!(request_id([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(request_id([0; 16]), "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn identifiers_have_their_prefix_length_and_alphabet() {
        let bytes: [u8; 16] = std::array::from_fn(|index| index as u8 * 17);
        let id = long_term_key_id(bytes);
        assert_eq!(id.len(), 20);
        assert!(id.starts_with("AKIA"));
        assert!(id.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')), "{id}");
        assert_eq!(role_id([31; 17]), "AROA77777777777777777");
        assert_eq!(unique_id("AIDA", [0; 17]), "AIDAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn a_key_id_tells_its_account_as_awss_do() {
        // Published by those who found out: an id of AWS's own and the account that it belongs to.
        let known = account_of_key_id("ASIAQNZGKIQY56JQ7WML").expect("an account");
        assert_eq!(known.as_str(), "029608264753");
        for account in ["000000000000", "123456789012", "999999999999"] {
            let account = AccountId::parse(account).expect("an account");
            for random in [[0; 5], [0xff; 5], [1, 2, 3, 4, 5]] {
                let id = key_id_of_account("ASIA", account, random);
                assert_eq!((id.len(), account_of_key_id(&id)), (20, Some(account)), "{id}");
            }
            assert_ne!(
                key_id_of_account("ASIA", account, [0; 5]),
                key_id_of_account("ASIA", account, [0, 0, 0, 0, 1])
            );
        }
        for id in ["AKIAIOSFODNN7EXAMPLE", "ASIA", "ASIAQNZGK1QY56JQ7WML", "test", ""] {
            assert_eq!(account_of_key_id(id), None, "{id}");
        }
    }

    #[test]
    fn only_session_keys_need_a_session_token() {
        assert!(is_temporary("ASIAIOSFODNN7EXAMPLE"));
        assert!(!is_temporary("AKIAIOSFODNN7EXAMPLE"));
        assert!(!is_temporary("test"));
    }
}
