//! Dead Simple Signing Envelope v1 (<https://github.com/secure-systems-lab/dsse>) with Ed25519 (RFC 8032).

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

impl Envelope {
    /// The payload, undecoded by anyone but Base64.
    ///
    /// # Errors
    /// When it is no Base64.
    pub fn body(&self) -> Result<Vec<u8>, String> {
        Base64::decode_vec(&self.payload).map_err(|e| format!("the payload of the envelope is no Base64: {e}"))
    }

    /// Whether `key` made one of the signatures over this payload (strict: RFC 8032 with the checks of
    /// small-order keys).
    #[must_use]
    pub fn signed_by(&self, key: &VerifyingKey) -> bool {
        let Ok(body) = self.body() else { return false };
        let bytes = pre_authentication_encoding(&self.payload_type, &body);
        let signatures = self.signatures.iter().filter_map(|s| Base64::decode_vec(&s.sig).ok());
        signatures
            .filter_map(|raw| Signature::from_slice(&raw).ok())
            .any(|signature| key.verify_strict(&bytes, &signature).is_ok())
    }
}
