//! Who issued a certificate, for errors. Pure, and for certificates that are not trusted: any bytes may come here.

/// Parts of a name that are shown, and characters of each.
const MOST_PARTS: usize = 4;
const MOST_CHARACTERS: usize = 80;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version, which is `[0]` and may be left out.
const VERSION: u8 = 0xa0;
const BMP_STRING: u8 = 0x1e;

/// The authority above a chain of certificates (DER), that of the server first: whom one has to trust for it. `None` where it
/// cannot be read.
pub(super) fn authority<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut certificates = chain.filter_map(names);
    let mut issuer = certificates.next()?.issuer;
    for above in certificates {
        if above.subject == issuer {
            issuer = above.issuer;
        }
    }
    readable(issuer)
}

struct Names<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
}

/// RFC 5280, 4.1.
fn names(certificate: &[u8]) -> Option<Names<'_>> {
    let (signed, _) = expect(certificate, SEQUENCE)?;
    let (fields, _) = expect(signed, SEQUENCE)?;
    let fields = expect(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_, fields) = expect(fields, INTEGER)?;
    let (_, fields) = expect(fields, SEQUENCE)?;
    let (issuer, fields) = expect(fields, SEQUENCE)?;
    let (_, fields) = expect(fields, SEQUENCE)?;
    let (subject, _) = expect(fields, SEQUENCE)?;
    Some(Names { issuer, subject })
}

/// `CN=Example CA, O=Example`.
fn readable(name: &[u8]) -> Option<String> {
    let mut rest = name;
    let mut parts = Vec::new();
    while let Some((set, after)) = expect(rest, SET) {
        rest = after;
        let Some((attribute, _)) = expect(set, SEQUENCE) else { continue };
        let Some((kind, value)) = expect(attribute, OBJECT_IDENTIFIER) else { continue };
        // Those of X.520, which are 2.5.4.x.
        let label = match kind {
            [0x55, 4, 3] => "CN",
            [0x55, 4, 10] => "O",
            [0x55, 4, 11] => "OU",
            _ => continue,
        };
        let Some((tag, value, _)) = element(value) else { continue };
        let text: String = if tag == BMP_STRING {
            let units = value.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two));
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        } else {
            String::from_utf8_lossy(value).into_owned()
        };
        parts.push(format!("{label}={}", text.chars().take(MOST_CHARACTERS).collect::<String>()));
        if parts.len() == MOST_PARTS {
            break;
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The content of an element with this tag, and what follows.
fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag, content and what follows (X.690, with lengths of at most three bytes).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(first) {
        short @ 0..=0x7f => (short, rest),
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(long - 0x80)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["git.example.com".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "Ada & Co");
        params.distinguished_name.push(DnType::CountryName, "DE");
        params
    }

    fn chain() -> Vec<Vec<u8>> {
        let mut above = params("the root");
        above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(above, KeyPair::generate().unwrap()).unwrap();
        let mut between = params("between");
        between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &root).unwrap();
        let server = params("git").signed_by(&KeyPair::generate().unwrap(), &between).unwrap();
        vec![server.der().to_vec(), between.der().to_vec()]
    }

    #[test]
    fn the_authority_is_that_above_the_whole_chain() {
        let chain = chain();
        let of = |certificates: &[Vec<u8>]| authority(certificates.iter().map(Vec::as_slice)).unwrap();
        let mut parts: Vec<String> = of(&chain).split(", ").map(str::to_owned).collect();
        parts.sort();
        assert_eq!(parts, ["CN=the root", "O=Ada & Co"]);
        assert!(of(&chain[..1]).contains("CN=between"));
        assert_eq!(authority(std::iter::empty()), None);
    }

    #[test]
    fn what_is_cut_off_or_no_certificate_has_no_authority() {
        let certificate = chain().remove(0);
        for length in 0..certificate.len() {
            let _ = authority(std::iter::once(&certificate[..length]));
        }
        assert_eq!(authority(std::iter::once(&b"-----BEGIN CERTIFICATE-----"[..])), None);
        assert_eq!(element(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(element(&[SEQUENCE, 0x83, 0xff, 0xff, 0xff, 0]), None);
    }

    proptest! {
        #[test]
        fn any_change_of_a_certificate_is_read_to_an_end(at in 0..300_usize, byte: u8) {
            let mut certificate = chain().remove(0);
            let at = at % certificate.len();
            certificate[at] = byte;
            let _ = authority(std::iter::once(&*certificate));
        }
    }
}
