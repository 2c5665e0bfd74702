//! placeholder until merge
#![allow(missing_docs)]
#[derive(Debug)] pub struct Auth { pub spec_name: &'static str }
#[derive(Debug)] pub struct Source { pub name: &'static str, pub spec_id: &'static str, pub spec_version: &'static str, pub auth: &'static [Auth] }
pub static ALL: &[Source] = &[Source { name: "hubspot", spec_id: "cc6a4487-9e91-433e-a3a3-9cf6626c1806", spec_version: "1.0", auth: &[Auth { spec_name: "Basic Authentication" }] }];
pub fn by_name(name: &str) -> Option<&'static Source> { ALL.iter().find(|s| s.name == name) }
