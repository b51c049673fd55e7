//! What an X.509 certificate says of itself: whom it is for, who issued it, how long it holds, and its
//! thumbprint. Signatures are the TLS library's business; this is for those who must act when a chain is not
//! as AWS wants it.
//! <https://www.rfc-editor.org/rfc/rfc5280#section-4.1>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html>

use landfall_types::Timestamp;

use crate::hash;

/// The longest certificate that is read, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 65_536;

/// A certificate, as far as chains and thumbprints need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Whom it is for, as a person would name it: the common name, or the organization.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// From when it holds.
    pub not_before: Timestamp,
    /// Until when it holds.
    pub not_after: Timestamp,
    /// SHA-1 of the certificate as 40 lower-case hex digits: what IAM calls its thumbprint.
    pub thumbprint: String,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate in DER. None when it is not one.
    pub fn parse(der: &[u8]) -> Option<Self> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return None;
        }
        let (SEQUENCE, outer, []) = element(der)? else { return None };
        let (SEQUENCE, mut fields, _) = element(outer)? else { return None };
        if let (EXPLICIT_VERSION, _, rest) = element(fields)? {
            fields = rest;
        }
        let (_serial, rest) = sequence_or(INTEGER, fields)?;
        let (_algorithm, rest) = sequence_or(SEQUENCE, rest)?;
        let (issuer, rest) = sequence_or(SEQUENCE, rest)?;
        let (validity, rest) = sequence_or(SEQUENCE, rest)?;
        let (subject, _) = sequence_or(SEQUENCE, rest)?;
        let (not_before, rest) = time(validity)?;
        let (not_after, _) = time(rest)?;
        Some(Self {
            subject: name(subject),
            issuer: name(issuer),
            not_before,
            not_after,
            thumbprint: hash::sha1_hex(der),
            subject_der: subject.to_vec(),
            issuer_der: issuer.to_vec(),
        })
    }

    /// Whether the other one says that this one issued it.
    pub fn has_issued(&self, other: &Self) -> bool {
        self.subject_der == other.issuer_der
    }

    /// Whether it names itself as its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.has_issued(self)
    }

    /// Whether it holds at a moment.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// What is wrong with the order of a chain as a server sends it. AWS wants each certificate once, the server's
/// own first and each one issued by the next.
/// <https://docs.gitlab.com/ci/cloud_services/aws/> (observed: what AWS refuses)
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChainFault {
    /// The same certificate comes twice: positions from 1.
    Duplicate {
        /// The first place.
        first: usize,
        /// The second place.
        second: usize,
        /// Whom it is for.
        subject: String,
    },
    /// A certificate is not followed by its issuer: the position from 1.
    OutOfOrder {
        /// The place.
        position: usize,
        /// Whom it is for.
        subject: String,
        /// Who issued it.
        issuer: String,
        /// Who comes next.
        next: String,
    },
}

/// Whether a chain is in the order that AWS wants.
///
/// # Errors
/// The first fault.
pub fn check_order(chain: &[Certificate]) -> Result<(), ChainFault> {
    for (index, certificate) in chain.iter().enumerate() {
        let same = |other: &Certificate| other.thumbprint == certificate.thumbprint;
        if let Some(later) = chain.iter().skip(index + 1).position(same) {
            let subject = certificate.subject.clone();
            return Err(ChainFault::Duplicate { first: index + 1, second: index + later + 2, subject });
        }
    }
    for (index, pair) in chain.windows(2).enumerate() {
        let [certificate, next] = pair else { continue };
        if !next.has_issued(certificate) {
            return Err(ChainFault::OutOfOrder {
                position: index + 1,
                subject: certificate.subject.clone(),
                issuer: certificate.issuer.clone(),
                next: next.subject.clone(),
            });
        }
    }
    Ok(())
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const EXPLICIT_VERSION: u8 = 0xa0;
/// `id-at-commonName` and `id-at-organizationName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        // A certificate of 64 KiB needs three bytes of length at most.
        let count = usize::from(first & 0x7f);
        let (bytes, rest) = (1..=3).contains(&count).then(|| rest.split_at_checked(count))??;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The content of an element of this kind and what follows it.
fn sequence_or(wanted: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

/// <https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5>
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, content, rest) = element(der)?;
    let text = std::str::from_utf8(content).ok()?;
    let full = match tag {
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let (day, clock) = full.split_at_checked(8)?;
    Some((Timestamp::parse_basic(&format!("{day}T{clock}"))?, rest))
}

/// The common name of a distinguished name, or its organization; `?` when it has neither.
fn name(der: &[u8]) -> String {
    let find = |wanted: &[u8]| {
        let mut rest = der;
        while let Some((SET, mut attributes, after)) = element(rest) {
            while let Some((SEQUENCE, attribute, next)) = element(attributes) {
                if let Some((OBJECT_IDENTIFIER, kind, value)) = element(attribute)
                    && kind == wanted
                {
                    return element(value).map(|(_, text, _)| String::from_utf8_lossy(text).into_owned());
                }
                attributes = next;
            }
            rest = after;
        }
        None
    };
    find(COMMON_NAME).or_else(|| find(ORGANIZATION)).unwrap_or_else(|| "?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(subject: &str, issuer: &str) -> Certificate {
        Certificate {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            not_before: Timestamp(0),
            not_after: Timestamp(1),
            thumbprint: format!("{subject} by {issuer}"),
            subject_der: subject.as_bytes().to_vec(),
            issuer_der: issuer.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_chain_goes_from_the_server_to_the_root() {
        let (leaf, middle, root) =
            (certificate("leaf", "middle"), certificate("middle", "root"), certificate("root", "root"));
        let check =
            |chain: &[&Certificate]| check_order(&chain.iter().map(|one| (*one).clone()).collect::<Vec<_>>());
        assert_eq!(check(&[&leaf, &middle, &root]), Ok(()));
        assert_eq!(check(&[&leaf, &middle]), Ok(()));
        assert_eq!(check(&[&leaf]), Ok(()));
        assert!(matches!(check(&[&leaf, &root, &middle]), Err(ChainFault::OutOfOrder { position: 1, .. })));
        assert!(matches!(
            check(&[&leaf, &middle, &leaf]),
            Err(ChainFault::Duplicate { first: 1, second: 3, .. })
        ));
    }

    #[test]
    fn no_bytes_are_too_strange() {
        for der in [&[][..], &[0x30], &[0x30, 0x84, 1, 1, 1, 1], &[0x30, 2, 0x30, 0], &[0x30, 0x80, 0, 0]] {
            assert_eq!(Certificate::parse(der), None);
        }
        let mut bytes = vec![0x30; 5_000];
        assert_eq!(Certificate::parse(&bytes), None);
        bytes.resize(100_000, 0);
        assert_eq!(Certificate::parse(&bytes), None);
    }
}
