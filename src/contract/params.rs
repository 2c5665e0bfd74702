//! What the catalogue of sources has to say about a job's `auth`: a look at the names of `auth.params`, never at values.

use serde_json::value::RawValue;

use super::object::{Object, Path, nearest};
use super::problem::{Problems, shown};
use crate::sources::{self, Auth, Basis};

const SPEC_NAME: &str = "connection.auth.specName";
const PARAMS: Path<'static> = Path::Known("connection.auth.params");

/// So many unknown names are looked at; a small message can hold thousands.
const LOOKED_AT: usize = 20;

/// What looks wrong with a job's `auth`: nothing, if the catalogue does not know its source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// What Flow Service refuses for certain.
    pub faults: Problems,
    /// What it may refuse, or not: the catalogue only guesses there, or may not be complete.
    pub doubts: Problems,
}

/// Compares a job's `auth` with the catalogue. `params` is in the clear, and has been read before.
pub(super) fn remarks(spec_id: &str, spec_name: &str, params: &RawValue) -> Remarks {
    let mut remarks = Remarks::default();
    let Some(source) = sources::by_spec_id(spec_id) else { return remarks };
    if let Some(auth) = source.auth(spec_name) {
        compare(auth, params, &mut remarks);
    } else {
        let what = format!("not known for {}, expected one of {}", source.name, source.spec_names());
        remarks.doubts.add(SPEC_NAME, what);
    }
    remarks
}

fn compare(auth: &Auth, params: &RawValue, remarks: &mut Remarks) {
    // Its faults have been told before.
    let Some(params) = Object::read(params, PARAMS, &mut Problems::default()) else { return };
    let others = params.others(auth.required).map(|(name, _)| name);
    let unknown: Vec<&str> = others.filter(|name| !auth.optional.contains(name)).take(LOOKED_AT).collect();
    let mut meant = Vec::new();
    for name in auth.required.iter().filter(|name| params.get(name).is_none()) {
        let what = match nearest(name, &unknown) {
            Some(slip) => {
                meant.push(slip);
                format!("missing; is {} a slip?", shown(slip))
            }
            None => "missing".to_owned(),
        };
        match auth.basis {
            Basis::AuthSpec => remarks.faults.add(params.path_of(name), what),
            Basis::DocTable | Basis::DocSample => remarks.doubts.add(params.path_of(name), what),
        }
    }
    for name in unknown.iter().filter(|name| !meant.contains(name)) {
        remarks.doubts.add(params.path_of(name), "unknown");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(source: &str, spec_name: &str, params: &Value) -> (String, String) {
        let params = serde_json::value::to_raw_value(params).unwrap();
        let spec_id = sources::by_name(source).map_or("no-such-id", |source| source.spec_id);
        let Remarks { faults, doubts } = remarks(spec_id, spec_name, &params);
        (faults.to_string(), doubts.to_string())
    }

    /// Every required param of a kind of authentication.
    fn whole(auth: &Auth) -> Value {
        auth.required.iter().map(|name| ((*name).to_owned(), json!("…"))).collect()
    }

    fn nothing() -> (String, String) {
        (String::new(), String::new())
    }

    #[test]
    fn what_is_whole_raises_no_remark() {
        for source in sources::ALL {
            for auth in source.auth {
                let mut params = whole(auth);
                assert_eq!(said(source.name, auth.spec_name, &params), nothing());
                for name in auth.optional {
                    params[*name] = json!(1);
                }
                assert_eq!(said(source.name, auth.spec_name, &params), nothing());
            }
        }
    }

    #[test]
    fn what_is_missing_is_a_fault_only_where_the_schema_is_published() {
        for source in sources::ALL {
            for auth in source.auth {
                let expected: Vec<String> = auth
                    .required
                    .iter()
                    .map(|name| format!("connection.auth.params.{name}: missing"))
                    .collect();
                let (faults, doubts) = said(source.name, auth.spec_name, &json!({}));
                let (told, untold) =
                    if auth.basis == Basis::AuthSpec { (faults, doubts) } else { (doubts, faults) };
                assert_eq!((told, untold), (expected.join("; "), String::new()), "{}", source.name);
            }
        }
    }

    #[test]
    fn null_is_missing_and_an_empty_text_is_not() {
        let params = json!({ "clientId": null, "clientSecret": "", "accessToken": 1, "refreshToken": {} });
        let (faults, doubts) = said("hubspot", "Basic Authentication", &params);
        assert_eq!(faults, "connection.auth.params.clientId: missing");
        assert_eq!(doubts, "");
    }

    #[test]
    fn a_slip_is_recognised_and_other_unknown_names_are_told() {
        let params = json!({ "clientID": "x", "clientSecert": "x", "accessToken": "x", "refreshToken": "x",
                             "portal": "x" });
        let (faults, doubts) = said("hubspot", "Basic Authentication", &params);
        assert_eq!(
            faults,
            "connection.auth.params.clientId: missing; is clientID a slip?; \
             connection.auth.params.clientSecret: missing; is clientSecert a slip?"
        );
        assert_eq!(doubts, "connection.auth.params.portal: unknown");
        let (faults, doubts) = said("mysql", "Connection String Based Authentication", &json!({ "a\nb": 1 }));
        assert_eq!(faults, "");
        assert_eq!(
            doubts,
            "connection.auth.params.connectionString: missing; connection.auth.params.a\u{fffd}b: unknown"
        );
    }

    #[test]
    fn a_kind_of_authentication_that_the_catalogue_lacks_may_exist() {
        let (faults, doubts) = said("hubspot", "OAuth2 Refresh Code", &json!({}));
        assert_eq!(faults, "");
        assert_eq!(
            doubts,
            "connection.auth.specName: not known for hubspot, expected one of Basic Authentication"
        );
        assert_eq!(said("no-such-source", "Basic Authentication", &json!({})), nothing());
    }

    #[test]
    fn thousands_of_names_make_no_long_remark() {
        let params: Value = (0..50_000).map(|n| (format!("{n}-{}", "x".repeat(n % 100)), json!(n))).collect();
        let (faults, doubts) = said("hubspot", "Basic Authentication", &params);
        assert_eq!(faults.matches("missing").count(), 4);
        assert!(doubts.len() < 3_000, "{}", doubts.len());
    }
}
