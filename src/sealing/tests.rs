//! Sealing against the RFC's own figures, and everything that must not open.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

const HERE: Binding<'static> = Binding {
    job_id: "job-1",
    ims_org_id: "1234@AdobeOrg",
    sandbox_name: "dev",
    connection_spec_id: "cc6a4487-9e91-433e-a3a3-9cf6626c1806",
};

fn keyring(keys: &[SecretString]) -> Keyring {
    Keyring::read(keys).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// RFC 9180, appendix A.1.1: the first encryption.
#[test]
fn the_suite_opens_what_the_rfc_has_sealed() {
    let key = HpkePrivateKey::from(bytes("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"));
    let secret =
        EncapsulatedSecret(bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"));
    let ciphertext =
        bytes("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a");
    let info = bytes("4f6465206f6e2061204772656369616e2055726e");
    let opened = SUITE.open(&secret, &info, b"Count-0", &ciphertext, &key).unwrap();
    assert_eq!(opened, b"Beauty is truth, truth beauty");
}

/// Sealed to the key of the RFC's example by other implementations: Python's `cryptography` 50 and Node's `@hpke/core` 1.9.
#[test]
fn what_others_have_sealed_opens() {
    let key = r#"{"kty":"OKP","crv":"X25519","x":"OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0","d":"RhLFUCY_yK1YN13z9VeqxTHSaFCQPlWp8j8h2FNOisg"}"#;
    let keys = keyring(&[key.into()]);
    let public = PublicKey::parse("OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0").unwrap();
    for text in [
        "AahRewIr322urd5THoQGh1H6hErgTthdzPq5hK1Z9D2oHq4Ll0ypgyVFcQdpq8zqLOc",
        "IsCI41RHnNpd1WkyhqEDcxhjG0CJH9gi8S0KzQ0u-THHbTAowuINerhDkliOO5jem5w",
    ] {
        assert_eq!(keys.open(public, text, &HERE).unwrap(), b"{}");
    }
}

#[test]
fn what_is_sealed_opens_with_its_key_alone() {
    let ((old, old_key), (new, new_key)) = (generate().unwrap(), generate().unwrap());
    let both = keyring(&[old_key.clone(), new_key]);
    for key in [old, new] {
        let sealed = key.seal(&HERE, b"{}").unwrap();
        assert_eq!(both.open(key, &sealed, &HERE).unwrap(), b"{}");
        assert_ne!(sealed, key.seal(&HERE, b"{}").unwrap(), "equal texts are not seen to be equal");
    }
    let sealed = new.seal(&HERE, b"{}").unwrap();
    let only_old = keyring(&[old_key]);
    assert_eq!(only_old.open(new, &sealed, &HERE), Err(OpenError::UnknownKey));
    assert_eq!(only_old.open(old, &sealed, &HERE), Err(OpenError::Refused), "said to be for another key");
}

#[test]
fn a_text_opens_nowhere_else() {
    let (public, key) = generate().unwrap();
    let keys = keyring(&[key]);
    let sealed = public.seal(&HERE, b"{}").unwrap();
    for elsewhere in [
        Binding { job_id: "job-2", ..HERE },
        Binding { ims_org_id: "5678@AdobeOrg", ..HERE },
        Binding { sandbox_name: "prod", ..HERE },
        Binding { connection_spec_id: "another", ..HERE },
    ] {
        assert_eq!(keys.open(public, &sealed, &elsewhere), Err(OpenError::Refused), "{elsewhere:?}");
    }
}

#[test]
fn what_is_no_sealed_text_is_refused() {
    let (public, key) = generate().unwrap();
    let keys = keyring(&[key]);
    let huge = "A".repeat(1 << 20);
    for (text, error) in [
        ("", OpenError::Refused),
        ("AAAA", OpenError::Refused),
        (&huge, OpenError::Refused),
        ("a b", OpenError::Encoding),
        ("+/+/", OpenError::Encoding),
        ("ä", OpenError::Encoding),
    ] {
        assert_eq!(keys.open(public, text, &HERE), Err(error));
    }
    let low_order = PublicKey([0; KEY_BYTES]);
    assert_eq!(low_order.seal(&HERE, b"{}"), Err(SealError));
}

#[test]
fn what_is_no_key_is_refused_without_a_word_of_it() {
    let ((public, key), (_, other)) = (generate().unwrap(), generate().unwrap());
    let (key, other) = (key.expose_secret(), other.expose_secret());
    let d = |jwk: &str| jwk.split("\"d\":\"").nth(1).unwrap().get(..43).unwrap().to_owned();
    let mixed = key.replace(&d(key), &d(other));
    for (jwk, error) in [
        ("", KeyError::Form),
        ("canary", KeyError::Form),
        ("{\"kty\":\"canary\",\"crv\":\"X25519\",\"x\":\"\",\"d\":\"\"}", KeyError::Form),
        (&key.replace("X25519", "Ed25519"), KeyError::Form),
        (&key.replace(&d(key), "canary!"), KeyError::Form),
        (&key.replace(&d(key), "AAAA"), KeyError::Mismatch),
        (&mixed, KeyError::Mismatch),
    ] {
        let (index, said) = Keyring::read(&[key.into(), jwk.into()]).unwrap_err();
        assert_eq!((index, said), (1, error));
        assert!(!format!("{said} {said:?}").contains("canary"));
    }
    let shown = format!("{:?}", keyring(&[key.into()]));
    assert_eq!(shown, format!("[PublicKey({public})]"));
}

proptest! {
    #[test]
    fn a_changed_byte_or_a_missing_end_is_refused(at in 0_usize..80, with in 1_u8.., end in 0_usize..80) {
        let (public, key) = generate().unwrap();
        let keys = keyring(&[key]);
        let sealed = BASE64URL.decode(public.seal(&HERE, &[b'x'; 32]).unwrap()).unwrap();
        prop_assert_eq!(sealed.len(), 80);
        let mut changed = sealed.clone();
        changed[at] ^= with;
        // X25519 does not look at the highest bit of a point (RFC 7748, section 5), but HPKE hashes it.
        prop_assert_eq!(keys.open(public, &BASE64URL.encode(changed), &HERE), Err(OpenError::Refused));
        prop_assert_eq!(keys.open(public, &BASE64URL.encode(&sealed[..end]), &HERE), Err(OpenError::Refused));
    }
}
