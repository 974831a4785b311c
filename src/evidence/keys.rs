//! Ed25519 keys as files: PKCS#8 (RFC 8410) for the private one, SubjectPublicKeyInfo for the public one, both PEM.

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::spki::{DecodePublicKey, SubjectPublicKeyInfoRef};
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, Document, EncodePrivateKey, EncodePublicKey, KeypairBytes, ObjectIdentifier, PrivateKeyInfoRef,
    SecretDocument,
};
use ed25519_dalek::{SigningKey, VerifyingKey};

/// A new key from the random numbers of the operating system.
///
/// # Errors
/// When the operating system has none.
pub fn generate() -> Result<SigningKey, String> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|e| format!("the operating system gives no random numbers: {e}"))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// The PEM of a private key, wiped when it is dropped: PKCS#8 without the public half, which every version of OpenSSL reads.
///
/// # Errors
/// What the encoder says.
pub fn private_pem(key: &SigningKey) -> Result<impl AsRef<str> + use<>, String> {
    KeypairBytes { secret_key: key.to_bytes(), public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|e| e.to_string())
}

/// The PEM of a public key.
///
/// # Errors
/// What the encoder says.
pub fn public_pem(key: &VerifyingKey) -> Result<String, String> {
    key.to_public_key_pem(LineEnding::LF).map_err(|e| e.to_string())
}

/// The private key in a PEM text.
///
/// # Errors
/// What the text holds instead, and what to give.
pub fn private_from_pem(text: &str) -> Result<SigningKey, String> {
    let wanted = "give an Ed25519 private key (PKCS#8 PEM), as `wattproof keygen` writes it";
    let instead = match label(text) {
        Some("PRIVATE KEY") => match SigningKey::from_pkcs8_pem(text.trim()) {
            Ok(key) => return Ok(key),
            Err(error) => SecretDocument::from_pem(text.trim())
                .ok()
                .and_then(|(_, der)| PrivateKeyInfoRef::try_from(der.as_bytes()).ok().map(|key| key.algorithm.oid))
                .map_or(format!("a private key that does not read ({error})"), |oid| kind(oid, "private")),
        },
        other => foreign(other),
    };
    Err(format!("holds {instead}; {wanted}"))
}

/// The public key in a PEM text.
///
/// # Errors
/// What the text holds instead, and what to give.
pub fn public_from_pem(text: &str) -> Result<VerifyingKey, String> {
    let wanted = "give an Ed25519 public key (PEM), as `wattproof keygen` writes it to OUT.pub";
    let instead = match label(text) {
        Some("PUBLIC KEY") => match VerifyingKey::from_public_key_pem(text.trim()) {
            Ok(key) if key.is_weak() => "a weak key, of small order: anyone can sign for it".to_owned(),
            Ok(key) => return Ok(key),
            Err(error) => Document::from_pem(text.trim())
                .ok()
                .and_then(|(_, der)| {
                    SubjectPublicKeyInfoRef::try_from(der.as_bytes()).ok().map(|key| key.algorithm.oid)
                })
                .map_or(format!("a public key that does not read ({error})"), |oid| kind(oid, "public")),
        },
        other => foreign(other),
    };
    Err(format!("holds {instead}; {wanted}"))
}

/// The label of the first PEM block.
fn label(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    rest.split_once("-----").map(|(label, _)| label).filter(|label| label.len() <= 40)
}

/// What a PEM text with another label is.
fn foreign(label: Option<&str>) -> String {
    match label {
        Some("PRIVATE KEY") => "a private key".to_owned(),
        Some("PUBLIC KEY") => "a public key".to_owned(),
        Some("ENCRYPTED PRIVATE KEY") => "an encrypted private key, which is not supported".to_owned(),
        Some("OPENSSH PRIVATE KEY") => "an OpenSSH private key".to_owned(),
        Some("RSA PRIVATE KEY" | "RSA PUBLIC KEY") => "an RSA key".to_owned(),
        Some("EC PRIVATE KEY") => "an elliptic-curve (ECDSA) key".to_owned(),
        Some("CERTIFICATE") => "an X.509 certificate".to_owned(),
        Some(other) => format!("a PEM block `{}`", other.escape_debug()),
        None => "no PEM block".to_owned(),
    }
}

/// What a key with this algorithm is (RFC 8410, RFC 8017, RFC 5480).
fn kind(algorithm: ObjectIdentifier, half: &str) -> String {
    let name = match algorithm.to_string().as_str() {
        "1.3.101.112" => return format!("a damaged Ed25519 {half} key"),
        "1.3.101.110" => "an X25519".to_owned(),
        "1.3.101.113" => "an Ed448".to_owned(),
        "1.2.840.113549.1.1.1" => "an RSA".to_owned(),
        "1.2.840.10045.2.1" => "an elliptic-curve (ECDSA)".to_owned(),
        other => format!("a (algorithm {other})"),
    };
    format!("{name} {half} key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_their_files_and_two_are_never_the_same() {
        let key = generate().unwrap();
        let pem = private_pem(&key).unwrap();
        let text = pem.as_ref();
        assert_eq!(private_from_pem(text).unwrap().to_bytes(), key.to_bytes());
        let public = public_pem(&key.verifying_key()).unwrap();
        assert_eq!(public_from_pem(&public).unwrap(), key.verifying_key());
        assert_ne!(generate().unwrap().to_bytes(), key.to_bytes());
        assert_ne!(key.to_bytes(), [0; 32]);
    }

    #[test]
    fn other_texts_are_named_for_what_they_are() {
        let key = generate().unwrap();
        let private = private_pem(&key).unwrap();
        let private = private.as_ref();
        let public = public_pem(&key.verifying_key()).unwrap();
        let says = |error: String, words: &str| assert!(error.contains(words), "no `{words}` in: {error}");
        says(private_from_pem(&public).unwrap_err(), "a public key");
        says(public_from_pem(private).unwrap_err(), "a private key");
        says(private_from_pem("").unwrap_err(), "no PEM block");
        says(private_from_pem(&private[..private.len() / 2]).unwrap_err(), "does not read");
        says(public_from_pem("-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap_err(), "OpenSSH");
        // The neutral element of the curve: every message has a valid signature.
        let mut weak = [0u8; 32];
        weak[0] = 1;
        let weak = public_pem(&VerifyingKey::from_bytes(&weak).unwrap()).unwrap();
        says(public_from_pem(&weak).unwrap_err(), "weak");
    }
}
