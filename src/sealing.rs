//! Sealed credentials: encrypted to a key of the worker's, and bound to the job that they belong to.
//!
//! The format is HPKE ([RFC 9180](https://www.rfc-editor.org/rfc/rfc9180)), base mode, single shot, with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-128-GCM: the suite of the RFC's appendix A.1. The sealed text is `enc || ciphertext`; keys are kept as JWK
//! (RFC 8037). Why this one:
//!
//! * age has no associated data, so that nothing would bind a text to its job but what the worker compares by itself.
//! * JWE has, but lets the text choose its algorithms, and josekit, the Rust crate for it, brings OpenSSL.
//! * HPKE has one fixed suite, and is in the tree already, in rustls on aws-lc-rs: no new crate. Python's `cryptography`
//!   has it, Node `@hpke/core`, Java Bouncy Castle (`org.bouncycastle.crypto.hpke`) and Go `crypto/hpke`; the last two
//!   are untried.
//!
//! What a text is bound to goes into HPKE's `info`, and its `aad` stays empty: section 8.1 of the RFC says so for single-shot
//! use, and some libraries offer no `aad`. Knows nothing of jobs beyond [`Binding`]; no error and no `Debug` here shows a key.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use secrecy::SecretString;
use serde::Deserialize;

/// Written without padding, read with or without.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Length of either key, and of the encapsulated secret at the beginning of a sealed text, in bytes.
const KEY_BYTES: usize = 32;

/// The first line of what a sealed text is bound to: nothing that is sealed for another use can stand for it.
const CONTEXT: &str = "connection-worker sealed params v1";

/// What a sealed text belongs to. It can be opened nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The job's id.
    pub job_id: &'a str,
    /// The organisation that the credentials are for,
    pub ims_org_id: &'a str,
    /// the sandbox,
    pub sandbox_name: &'a str,
    /// and the kind of source.
    pub connection_spec_id: &'a str,
}

impl Binding<'_> {
    /// HPKE's `info`. Only the last line is free text, so no two bindings have the same.
    fn info(&self) -> String {
        let Self { job_id, ims_org_id, sandbox_name, connection_spec_id } = self;
        format!("{CONTEXT}\n{job_id}\n{ims_org_id}\n{sandbox_name}\n{connection_spec_id}")
    }
}

/// A key that anybody may seal to, and no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// Reads a public key as `keygen` prints it.
    pub fn parse(text: &str) -> Option<Self> {
        BASE64URL.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Seals a text.
    pub fn seal(&self, binding: &Binding<'_>, text: &[u8]) -> Result<String, SealError> {
        let key = HpkePublicKey(self.0.to_vec());
        let (EncapsulatedSecret(mut sealed), ciphertext) =
            SUITE.seal(binding.info().as_bytes(), &[], text, &key).map_err(|_| SealError)?;
        sealed.extend(ciphertext);
        Ok(BASE64URL.encode(sealed))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// No key can be made, or the public key is no point to seal to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot be used")]
pub struct SealError;

/// Why a file holds no private key. Says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not the JSON that `keygen` writes.
    #[error("no private key, expected a JWK with kty OKP, crv X25519, x and d, as keygen writes it")]
    Form,
    /// `x` and `d` do not belong together.
    #[error("the public and the private half of the key do not belong together")]
    Mismatch,
}

/// Why a sealed text cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The worker has no such key.
    #[error("sealed to a key that this worker does not have, expected one of its current public keys")]
    UnknownKey,
    /// It is no base64url.
    #[error("not base64url")]
    Encoding,
    /// It has been changed, or belongs to another key or job.
    #[error(
        "cannot be opened: damaged, or sealed for another jobId, imsOrgId, sandboxName or connection spec"
    )]
    Refused,
}

/// A key pair in JSON (RFC 8037, section 2).
#[derive(Deserialize)]
struct Jwk<'a> {
    kty: &'a str,
    crv: &'a str,
    x: &'a str,
    d: &'a str,
}

/// A private key and its public half. The private one is wiped from memory when it is dropped.
struct KeyPair {
    public: PublicKey,
    private: HpkePrivateKey,
}

impl KeyPair {
    fn read(jwk: &str) -> Result<Self, KeyError> {
        // serde's own words could repeat a part of the key.
        let jwk: Jwk<'_> = serde_json::from_str(jwk).map_err(|_| KeyError::Form)?;
        if (jwk.kty, jwk.crv) != ("OKP", "X25519") {
            return Err(KeyError::Form);
        }
        let public = PublicKey::parse(jwk.x).ok_or(KeyError::Form)?;
        let private = HpkePrivateKey::from(BASE64URL.decode(jwk.d).map_err(|_| KeyError::Form)?);
        let pair = Self { public, private };
        let probe = Binding { job_id: "", ims_org_id: "", sandbox_name: "", connection_spec_id: "" };
        let sealed = public.seal(&probe, b"").map_err(|_| KeyError::Mismatch)?;
        pair.open(&sealed, &probe).map_err(|_| KeyError::Mismatch)?;
        Ok(pair)
    }

    fn open(&self, sealed: &str, binding: &Binding<'_>) -> Result<Vec<u8>, OpenError> {
        let sealed = BASE64URL.decode(sealed).map_err(|_| OpenError::Encoding)?;
        let (secret, ciphertext) = sealed.split_at_checked(KEY_BYTES).ok_or(OpenError::Refused)?;
        let secret = EncapsulatedSecret(secret.to_vec());
        SUITE
            .open(&secret, binding.info().as_bytes(), &[], ciphertext, &self.private)
            .map_err(|_| OpenError::Refused)
    }
}

/// The worker's private keys: more than one while senders change from an old one to a new one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Keyring(Arc<[KeyPair]>);

impl Keyring {
    /// Reads private keys, each as [`generate`] writes it; the error comes with the index of the key that is at fault.
    pub fn read(keys: &[SecretString]) -> Result<Self, (usize, KeyError)> {
        let read = keys.iter().enumerate().map(|(index, key)| {
            KeyPair::read(secrecy::ExposeSecret::expose_secret(key)).map_err(|error| (index, error))
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Whether nothing can be opened.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens a text that was sealed to `key`, for this and nothing else.
    pub fn open(&self, key: PublicKey, sealed: &str, binding: &Binding<'_>) -> Result<Vec<u8>, OpenError> {
        let pair = self.0.iter().find(|pair| pair.public == key).ok_or(OpenError::UnknownKey)?;
        pair.open(sealed, binding)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|pair| pair.public)).finish()
    }
}

/// Makes a key pair: the public key, and both as JWK for a file.
pub fn generate() -> Result<(PublicKey, SecretString), SealError> {
    let (HpkePublicKey(public), private) = SUITE.generate_key_pair().map_err(|_| SealError)?;
    let public = PublicKey(public.try_into().map_err(|_| SealError)?);
    let d: SecretString = BASE64URL.encode(private.secret_bytes()).into();
    let d = secrecy::ExposeSecret::expose_secret(&d);
    Ok((public, format!(r#"{{"kty":"OKP","crv":"X25519","x":"{public}","d":"{d}"}}"#).into()))
}

#[cfg(test)]
mod tests;
