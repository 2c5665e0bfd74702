//! The catalogue of sources: which connection spec each has, and what its authentication asks for.
//!
//! Compiled-in facts, so that a job can be checked before any call. It knows no job, no HTTP and nothing of
//! one organisation: connection specs and their ids are the same for everybody. The last word has Flow Service's
//! `GET /connectionSpecs/{id}`; [`Basis`] says how sure each entry is.

mod catalogue;

/// A kind of system that a connection can be made to.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// A short name for people and jobs, in kebab case: `hubspot`. Ours, and unique; only HubSpot's is known to be
    /// also Adobe's name of the connection spec.
    pub name: &'static str,
    /// The name in Adobe's documentation.
    pub title: &'static str,
    /// The id of the connection spec: a UUID, unique.
    pub spec_id: &'static str,
    /// The version of the connection spec.
    pub spec_version: &'static str,
    /// The kinds of authentication that are known; at least one.
    pub auth: &'static [Auth],
}

/// One kind of authentication that a source takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Auth {
    /// Sent as `auth.specName`; must match exactly. A mere label: HubSpot's `Basic Authentication` is OAuth tokens.
    pub spec_name: &'static str,
    /// The names of the `auth.params` that must be there.
    pub required: &'static [&'static str],
    /// The names of the `auth.params` that may be there. Not complete: `usePrivateLink`, say, fits several sources.
    pub optional: &'static [&'static str],
    /// Where `required` comes from.
    pub basis: Basis,
}

/// How it is known which `auth.params` are required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// From the published schema of the connection spec: certain.
    AuthSpec,
    /// From a documentation table that says which are optional: likely.
    DocTable,
    /// From the sample body in the documentation: a guess, and the letter case may differ.
    DocSample,
}

/// Every known source.
pub static ALL: &[Source] = catalogue::ALL;

/// The source with this short name.
pub fn by_name(name: &str) -> Option<&'static Source> {
    ALL.iter().find(|source| source.name == name)
}

/// The source with this connection spec id.
pub fn by_spec_id(spec_id: &str) -> Option<&'static Source> {
    ALL.iter().find(|source| source.spec_id == spec_id)
}

/// The source that was probably meant by a name that is none: at most two slips away, upper or lower case aside.
pub fn nearest(name: &str) -> Option<&'static Source> {
    // No name is half as long; a message can hold any.
    let name: String = name.trim().to_lowercase().replace([' ', '_'], "-").chars().take(64).collect();
    ALL.iter()
        .map(|source| (strsim::damerau_levenshtein(&name, source.name), source))
        .filter(|(slips, _)| *slips <= 2)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, source)| source)
}

impl Source {
    /// The kind of authentication with this `specName`.
    pub fn auth(&self, spec_name: &str) -> Option<&'static Auth> {
        self.auth.iter().find(|auth| auth.spec_name == spec_name)
    }

    /// The known values of `specName`, for a message.
    pub fn spec_names(&self) -> String {
        self.auth.iter().map(|auth| auth.spec_name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn short_names_are_unique_and_in_kebab_case() {
        let names: HashSet<_> = ALL.iter().map(|source| source.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(kebab) && !name.starts_with('-') && !name.ends_with('-'), "{name}");
        }
    }

    #[test]
    fn spec_ids_are_unique_lower_case_uuids() {
        let ids: HashSet<_> = ALL.iter().map(|source| source.spec_id).collect();
        assert_eq!(ids.len(), ALL.len());
        for id in ids {
            assert_eq!(uuid::Uuid::parse_str(id).unwrap().hyphenated().to_string(), id);
        }
    }

    #[test]
    fn every_source_can_authenticate_in_ways_that_can_be_told_apart() {
        for source in ALL {
            assert!(!source.auth.is_empty(), "{}", source.name);
            let names: HashSet<_> = source.auth.iter().map(|auth| auth.spec_name).collect();
            assert_eq!(names.len(), source.auth.len(), "{}", source.name);
            for auth in source.auth {
                let params: HashSet<_> = auth.required.iter().chain(auth.optional).collect();
                assert_eq!(params.len(), auth.required.len() + auth.optional.len(), "{}", source.name);
            }
        }
    }

    #[test]
    fn hubspot_is_as_its_connection_spec_says() {
        let hubspot = by_name("hubspot").unwrap();
        assert_eq!(hubspot.spec_id, "cc6a4487-9e91-433e-a3a3-9cf6626c1806");
        assert_eq!(hubspot.spec_version, "1.0");
        assert_eq!(by_spec_id(hubspot.spec_id), Some(hubspot));
        let auth = hubspot.auth("Basic Authentication").unwrap();
        assert_eq!(auth.required, ["clientId", "clientSecret", "accessToken", "refreshToken"]);
        assert_eq!((auth.optional.len(), auth.basis), (0, Basis::AuthSpec));
        assert_eq!(hubspot.auth("basic authentication"), None);
    }

    #[test]
    fn a_name_may_be_misspelt() {
        for (name, meant) in [
            ("hubspott", "hubspot"),
            ("HubSpot", "hubspot"),
            ("saleforce", "salesforce"),
            ("Azure_Blob", "azure-blob"),
        ] {
            assert_eq!(nearest(name).map(|source| source.name), Some(meant));
        }
    }

    #[test]
    fn the_catalogue_is_whole() {
        assert_eq!(ALL.len(), 59);
        assert_eq!(by_name("no-such-source"), None);
        assert_eq!(nearest("no-such-source"), None);
        assert_eq!(by_spec_id("no-such-id"), None);
    }
}
