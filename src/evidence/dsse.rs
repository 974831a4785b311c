//! Dead Simple Signing Envelope v1 (<https://github.com/secure-systems-lab/dsse>) with Ed25519 (RFC 8032).

use super::{canonical, strict};
use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Media type of an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A payload and its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Media type of the payload; it is signed with it.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The payload, Base64.
    pub payload: String,
    /// Signatures; empty for an unsigned bundle.
    pub signatures: Vec<Signed>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// A hint which key made it; never trusted.
    pub keyid: String,
    /// The signature over the pre-authentication encoding, Base64.
    pub sig: String,
}

/// The bytes that are signed: `DSSEv1 len type len body`.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// SHA-256 of the raw public key, lower-case hex: how a key is named.
#[must_use]
pub fn key_id(key: &VerifyingKey) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Puts `body` into an envelope, signed where there is a key.
#[must_use]
pub fn seal(body: &[u8], key: Option<&SigningKey>) -> Envelope {
    let signed = key.map(|key| Signed {
        keyid: key_id(&key.verifying_key()),
        sig: Base64::encode_string(&key.sign(&pre_authentication_encoding(PAYLOAD_TYPE, body)).to_bytes()),
    });
    Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: Base64::encode_string(body),
        signatures: signed.into_iter().collect(),
    }
}

/// Most signatures of one envelope.
const MOST_SIGNATURES: usize = 64;

impl Envelope {
    /// Reads an envelope, and nothing of its payload.
    ///
    /// # Errors
    /// What is wrong. Only canonical JSON (RFC 8785) is taken, so that an envelope has one form.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let envelope: Self = strict::parse(text)?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(format!("`payloadType` is {:?}; a bundle holds {PAYLOAD_TYPE}", envelope.payload_type));
        }
        envelope.body()?;
        if envelope.signatures.len() > MOST_SIGNATURES {
            return Err(format!("{} signatures; at most {MOST_SIGNATURES} are read", envelope.signatures.len()));
        }
        for (index, signed) in envelope.signatures.iter().enumerate() {
            let raw = Base64::decode_vec(&signed.sig).ok().filter(|raw| raw.len() == Signature::BYTE_SIZE);
            raw.ok_or_else(|| format!("`/signatures/{index}/sig` is no Ed25519 signature in Base64"))?;
        }
        if canonical::to_vec(&envelope).map_err(|e| e.to_string())? != text {
            return Err("not in canonical form (RFC 8785), as `wattproof certify` writes it".to_owned());
        }
        Ok(envelope)
    }

    /// The payload, undecoded by anyone but Base64.
    ///
    /// # Errors
    /// When it is no Base64.
    pub fn body(&self) -> Result<Vec<u8>, String> {
        Base64::decode_vec(&self.payload).map_err(|e| format!("the payload of the envelope is no Base64: {e}"))
    }

    /// Indices of the signatures over this payload that `key` made (strict: RFC 8032 with the checks of
    /// small-order keys). What a signature calls its key is not looked at.
    #[must_use]
    pub fn signed_by(&self, key: &VerifyingKey) -> Vec<usize> {
        let Ok(body) = self.body() else { return Vec::new() };
        let bytes = pre_authentication_encoding(&self.payload_type, &body);
        let made = |signed: &Signed| {
            let raw = Base64::decode_vec(&signed.sig).ok();
            let signature = raw.and_then(|raw| Signature::from_slice(&raw).ok());
            signature.is_some_and(|signature| key.verify_strict(&bytes, &signature).is_ok())
        };
        self.signatures.iter().enumerate().filter(|(_, signed)| made(signed)).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        // https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
        let bytes = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_signature_counts_for_its_key_whatever_it_calls_it() {
        let mut envelope = seal(b"{}", Some(&key(1)));
        let second = seal(b"{}", Some(&key(2))).signatures.remove(0);
        envelope.signatures.push(second);
        envelope.signatures[1].keyid = key_id(&key(1).verifying_key());
        assert_eq!(envelope.signed_by(&key(1).verifying_key()), [0]);
        assert_eq!(envelope.signed_by(&key(2).verifying_key()), [1]);
        assert_eq!(envelope.signed_by(&key(3).verifying_key()), [0; 0]);
        envelope.payload = Base64::encode_string(b"{ }");
        assert_eq!(envelope.signed_by(&key(1).verifying_key()), [0; 0]);
    }

    #[test]
    fn an_envelope_has_one_form() {
        let envelope = seal(b"{\"a\":1}", Some(&key(1)));
        let text = String::from_utf8(canonical::to_vec(&envelope).unwrap()).unwrap();
        assert_eq!(Envelope::parse(text.as_bytes()).unwrap(), envelope);
        for (from, to, words) in [
            (":", ": ", "canonical form"),
            ("}", "} x", "trailing"),
            ("\"payload\"", "\"more\":1,\"payload\"", "unknown field `more`"),
            ("in-toto+json", "json", "application/vnd.json"),
            ("\"payload\":\"e", "\"payload\":\"*", "no Base64"),
            ("\"sig\":\"", "\"sig\":\"AAAA", "`/signatures/0/sig`"),
            ("\"payload\"", "\"payload\":\"\",\"payload\"", "stands twice"),
        ] {
            let changed = if from == "}" { format!("{text} x") } else { text.replacen(from, to, 1) };
            assert_ne!(changed, text, "{from}");
            let error = Envelope::parse(changed.as_bytes()).unwrap_err();
            assert!(error.contains(words), "no `{words}` in: {error}");
        }
    }
}
